package export

import (
	"time"

	"so8t/configs"
	"so8t/engine"
	"so8t/engine/checkpoint"
	"so8t/version"
)

// Metadata is so8t_retraining_metadata.json.
type Metadata struct {
	WorkflowID     string              `json:"workflow_id"`
	ExportedAt     time.Time           `json:"exported_at"`
	BaseModel      string              `json:"base_model"`
	BaseDigest     string              `json:"base_digest"`
	Dataset        string              `json:"dataset"`        // the first of Datasets
	DatasetDigest  string              `json:"dataset_digest"` // of all input files and of what decides the samples
	Datasets       []Dataset           `json:"datasets,omitempty"`
	ConfigDigest   string              `json:"config_digest"`
	TrainingDigest string              `json:"training_digest"`
	Config         configs.Config      `json:"config"`
	Position       checkpoint.Position `json:"position"`
	TotalSteps     int                 `json:"total_steps"`
	Parameters     int64               `json:"trained_parameters"`
	Curve          engine.Curve        `json:"curve"`
	SHA256         map[string]string   `json:"sha256"` // of the adapters' files, by path below final_model
	Device         Device              `json:"device"`
	GateDeviation  float64             `json:"gate_deviation"` // largest |RᵀR − I| of any gate
	Merged         MergeReport         `json:"merged_against_trained"`
	Versions       []version.Version   `json:"versions,omitempty"` // that trained or exported; none in files before there were versions
}

// Dataset is an input file.
type Dataset struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Device says what exported the model, and which of a GPU's algorithms computed it.
type Device struct {
	Name       string `json:"name"`
	ISA        string `json:"isa"`
	Algorithms string `json:"products_choices_sha256,omitempty"`
}

// MergeReport says how far the merged model is from the trained one, on the same inputs.
type MergeReport struct {
	Samples       int     `json:"samples"`
	Positions     int     `json:"positions"`
	MaxDifference float64 `json:"max_logit_difference"`
	RMSDifference float64 `json:"rms_logit_difference"`
	RMSLogit      float64 `json:"rms_logit"`
	SameNextToken float64 `json:"same_next_token"` // share of positions with the same likeliest token
	Decisions     int     `json:"decisions"`       // samples whose labels both models scored
	SameDecisions int     `json:"same_decisions"`  // of them
}
