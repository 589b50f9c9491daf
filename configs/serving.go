package configs

// Serving is the file of `worker serve`: how a promoted model answers. Keys are read as strictly as those of a run.
type Serving struct {
	Serve Serve `json:"serve"`
	Audit Audit `json:"audit"`
}

// Serve is how a model is held, what may be asked of it, and by whom.
type Serve struct {
	// Model is a folder in Hugging Face layout, or a link that moves to the promoted one: <run>/final_model/current.
	Model string `json:"model"`
	// ModelName is the model's id in the API.
	ModelName string `json:"model_name"`
	// Address is where the routes are served. Without KeysFile only a loopback address is bound.
	Address string `json:"address"`
	// MetricsAddress serves /metrics; empty: nobody.
	MetricsAddress string `json:"metrics_address"`
	// KeysFile holds the API keys as name and SHA-256, one a line.
	KeysFile string `json:"keys_file"`
	// TLSCert and TLSKey are PEM files; without them the server speaks plain HTTP.
	TLSCert string `json:"tls_cert"`
	TLSKey  string `json:"tls_key"`

	Device     string `json:"device"`
	Threads    int    `json:"threads"`
	LoadIn8bit bool   `json:"load_in_8bit"`
	// BF16 computes in bfloat16, otherwise in float32.
	BF16 bool `json:"bf16"`
	// Slots is the number of answers generated at once, Queue how many more may wait.
	Slots int `json:"slots"`
	Queue int `json:"queue"`
	// MaxLength bounds prompt and answer together, in tokens; 0: the model's, at most 4096.
	MaxLength int `json:"max_length"`
	// MaxNewTokens is the most that a request may ask for, and what it gets where it asks for nothing.
	MaxNewTokens int `json:"max_new_tokens"`

	// RequestsPerMinute of one key; 0: no limit.
	RequestsPerMinute float64 `json:"requests_per_minute"`
	// DeadlineSeconds of one request, DrainSeconds for those under way when the server is told to stop.
	DeadlineSeconds int `json:"deadline_seconds"`
	DrainSeconds    int `json:"drain_seconds"`

	// MinConfidence is the probability of the label below which an answer is escalated.
	MinConfidence float64 `json:"min_confidence"`
	// Refusal is model (the model's own final of a DENY or REFUSE) or fixed (always Fallback).
	Refusal string `json:"refusal"`
	// Fallback is what is answered where nothing of the model's text may leave.
	Fallback string `json:"fallback"`
	// System is put before conversations without a system turn.
	System string `json:"system"`
	// Usage is visible (completion_tokens counts the visible answer), all (the thinking too, as reasoning_tokens: its length
	// then shows) or none.
	Usage string `json:"usage"`

	// PollSeconds between two looks at Model; Beside is auto, always or never: whether a promoted model is loaded beside the old one.
	PollSeconds int    `json:"poll_seconds"`
	Beside      string `json:"beside"`
	// Prompts that a promoted model must answer in the quadruple form before it takes over.
	Prompts []string `json:"prompts"`

	// Escalate starts a workflow for each request labelled ESCALATION, at the server that TEMPORAL_ADDRESS names.
	Escalate   bool       `json:"escalate"`
	Escalation Escalation `json:"escalation"`
}

// Escalation is how a person is asked to decide.
type Escalation struct {
	// Share is query (the last user message goes into the case) or none. A key's own entry overrides it.
	Share string `json:"share"`
	// CodecKeyEnv names the environment variable with the base64 of 32 bytes by which payloads are encrypted; empty: in clear.
	CodecKeyEnv string `json:"codec_key_env"`
	// ReminderMinutes between two reminders; DeadlineMinutes until Default (allow or deny) is decided.
	ReminderMinutes int    `json:"reminder_minutes"`
	DeadlineMinutes int    `json:"deadline_minutes"`
	Default         string `json:"default"`
	// Outbox is the folder in which cases wait for the server.
	Outbox string `json:"outbox"`
}

// Audit is the log of what was answered.
type Audit struct {
	Dir string `json:"dir"`
	// KeysDir holds the log's secrets, outside Dir; they are made at the first start.
	KeysDir string `json:"keys_dir"`
	// ReasoningHash is hmac (nobody without the key can guess the thinking) or sha256.
	ReasoningHash string `json:"reasoning_hash"`
	// User is hmac (a pseudonym that can be erased) or plain.
	User              string `json:"user"`
	SegmentMiB        int    `json:"segment_mib"`
	CheckpointRecords int    `json:"checkpoint_records"`
	CheckpointSeconds int    `json:"checkpoint_seconds"`
}

// DefaultServing holds the values of keys that the file leaves out.
func DefaultServing() Serving {
	return Serving{
		Serve: Serve{
			ModelName: "so8t", Address: "127.0.0.1:8088", MetricsAddress: "127.0.0.1:9464", Device: "auto", LoadIn8bit: true, BF16: true,
			Slots: 16, Queue: 64, MaxNewTokens: 512, DeadlineSeconds: 120, DrainSeconds: 30, MinConfidence: 0.5,
			Refusal: "model", Fallback: "申し訳ありませんが、このご依頼にはお答えできません。", Usage: "visible", PollSeconds: 5, Beside: "auto",
			Escalation: Escalation{Share: "query", ReminderMinutes: 60, DeadlineMinutes: 1440, Default: "deny", Outbox: "audit/outbox"},
		},
		Audit: Audit{Dir: "audit/log", KeysDir: "audit/keys", ReasoningHash: "hmac", User: "hmac", SegmentMiB: 64, CheckpointRecords: 1000,
			CheckpointSeconds: 60},
	}
}
