package peft

// loraConfig is PEFT's adapter_config.json of a LoRA adapter, as far as it differs from the defaults. Of a fused weight,
// the slices' A are stacked and their B block-diagonal: one adapter of n·r with alpha n·alpha, which PEFT computes as the
// same function.
type loraConfig struct {
	PeftType            string             `json:"peft_type"`
	TaskType            string             `json:"task_type"`
	BaseModelNameOrPath string             `json:"base_model_name_or_path"`
	R                   int                `json:"r"`
	LoraAlpha           float64            `json:"lora_alpha"`
	LoraDropout         float64            `json:"lora_dropout"`
	TargetModules       []string           `json:"target_modules"`
	RankPattern         map[string]int     `json:"rank_pattern"`
	AlphaPattern        map[string]float64 `json:"alpha_pattern"`
	Bias                string             `json:"bias"`
	FanInFanOut         bool               `json:"fan_in_fan_out"`
	InferenceMode       bool               `json:"inference_mode"`
	InitLoraWeights     bool               `json:"init_lora_weights"`
	UseRSLoRA           bool               `json:"use_rslora"`
	UseDoRA             bool               `json:"use_dora"`
}

// oftConfig is PEFT's adapter_config.json of the gates: orthogonal fine-tuning with blocks of eight.
type oftConfig struct {
	PeftType            string   `json:"peft_type"`
	TaskType            string   `json:"task_type"`
	BaseModelNameOrPath string   `json:"base_model_name_or_path"`
	R                   int      `json:"r"`
	OFTBlockSize        int      `json:"oft_block_size"`
	ModuleDropout       float64  `json:"module_dropout"`
	TargetModules       []string `json:"target_modules"`
	LayersToTransform   []int    `json:"layers_to_transform,omitempty"`
	LayersPattern       string   `json:"layers_pattern,omitempty"`
	Bias                string   `json:"bias"`
	BlockShare          bool     `json:"block_share"`
	COFT                bool     `json:"coft"`
	UseCayleyNeumann    bool     `json:"use_cayley_neumann"`
	FanInFanOut         bool     `json:"fan_in_fan_out"`
	InferenceMode       bool     `json:"inference_mode"`
	InitWeights         bool     `json:"init_weights"`
}
