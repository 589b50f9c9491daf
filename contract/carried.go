package contract

// Carried is what one execution of a Retrain hands to the next: a history that has become
// long ends, and a new execution of the same workflow id goes on (Temporal's
// continue-as-new). Everything else is in the input or on the host's disk.
type Carried struct {
	// From is the run id of the execution that wrote this: its successor alone goes on from it.
	From     string      `json:"from"`
	Claimed  Claimed     `json:"claimed"`
	Dataset  SplitResult `json:"dataset"`
	Result   Result      `json:"result"`
	Progress Progress    `json:"progress"`
	Notes    []string    `json:"notes,omitempty"` // those that the page shows
	Resumes  int         `json:"resumes,omitempty"`
	Paused   bool        `json:"paused,omitempty"`
	Why      string      `json:"why,omitempty"` // paused: the reason, empty when a person asked for it
	Epoch    int         `json:"epoch"`         // to be trained next; 1 is the first
}
