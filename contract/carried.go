package contract

// Carried is the state that one execution of a Retrain passes to the next when its history has become
// long and it continues as new. Everything else is in the input or on the host's disk.
type Carried struct {
	// From is the run id of the execution that wrote this; only its direct successor may use it.
	From     string      `json:"from"`
	Claimed  Claimed     `json:"claimed"`
	Dataset  SplitResult `json:"dataset"`
	Result   Result      `json:"result"`
	Progress Progress    `json:"progress"`
	Notes    []string    `json:"notes,omitempty"` // shown on the run's page
	Resumes  int         `json:"resumes,omitempty"`
	Paused   bool        `json:"paused,omitempty"`
	Why      string      `json:"why,omitempty"` // the run is paused; empty if a person asked for it
	Epoch    int         `json:"epoch"`         // the next to train, from 1
}
