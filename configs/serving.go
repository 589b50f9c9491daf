package configs

import (
	"fmt"
	"os"
)

// Serving is the configuration of `worker serve`. The comments below are the reference of its keys; only serve.model has
// no default.
type Serving struct {
	Serve Serve `json:"serve"`
	Audit Audit `json:"audit"`
}

// Serve says how a model is held, what may be asked of it, and by whom.
type Serve struct {
	// Model is a folder in Hugging Face layout, or a link to the promoted one, which is followed: <run>/final_model/current.
	Model string `json:"model"`
	// ModelName is the model's id in the API.
	ModelName string `json:"model_name"`
	// Address (host:port) is where the routes are served. Without KeysFile it must be a loopback address.
	Address string `json:"address"`
	// MetricsAddress (host:port) is where /metrics is served; empty: nowhere.
	MetricsAddress string `json:"metrics_address"`
	// KeysFile holds the API keys, a line each: a name and the key's SHA-256. `worker keys new NAME` makes one. It is read
	// again on SIGHUP. Empty: no key is asked for.
	KeysFile string `json:"keys_file"`
	// TLSCert and TLSKey are PEM files; both empty: plain HTTP.
	TLSCert string `json:"tls_cert"`
	TLSKey  string `json:"tls_key"`

	// Device is auto, cpu, cuda or cuda:N, as for a run.
	Device string `json:"device"`
	// Threads of the CPU library; 0 takes all cores.
	Threads int `json:"threads"`
	// LoadIn8bit holds linear weights as int8 rows, as a run's base; false holds them in the compute type.
	LoadIn8bit bool `json:"load_in_8bit"`
	// BF16 computes in bfloat16; false: in float32.
	BF16 bool `json:"bf16"`
	// Slots is the number of answers generated at once, Queue how many more may wait. Beyond both, requests get 429.
	Slots int `json:"slots"`
	Queue int `json:"queue"`
	// MaxLength bounds prompt and answer together, in tokens; 0: the model's, at most 4096.
	MaxLength int `json:"max_length"`
	// MaxNewTokens bounds an answer with its thinking, in tokens. It is also what a request gets that names no bound.
	MaxNewTokens int `json:"max_new_tokens"`

	// RequestsPerMinute of each key, without keys of each remote address; 0: no limit.
	RequestsPerMinute float64 `json:"requests_per_minute"`
	// DeadlineSeconds bounds one request. DrainSeconds is what answers under way get to end when the server is told to stop.
	DeadlineSeconds int `json:"deadline_seconds"`
	DrainSeconds    int `json:"drain_seconds"`

	// MinConfidence: an answer is escalated if its label is less probable.
	MinConfidence float64 `json:"min_confidence"`
	// Refusal is model (a DENY or REFUSE is answered with the model's own final) or fixed (always with Fallback).
	Refusal string `json:"refusal"`
	// Fallback is the answer where nothing of the model's text may leave.
	Fallback string `json:"fallback"`
	// System is put before conversations without a system turn; empty: nothing.
	System string `json:"system"`
	// Usage is visible (completion_tokens counts the visible answer), all (the thinking too, as reasoning_tokens: whoever asks
	// then learns its length) or none.
	Usage string `json:"usage"`

	// PollSeconds between two looks at Model.
	PollSeconds int `json:"poll_seconds"`
	// Beside is always (a promoted model is loaded beside the old one), never (the old one first answers what it has begun,
	// and is closed), or auto (beside where memory allows).
	Beside string `json:"beside"`
	// Prompts are put to a promoted model; it takes over only if it answers each in the four-part form. Empty: two of
	// serve/promotion.
	Prompts []string `json:"prompts"`

	// Escalate starts a workflow for each request labelled ESCALATION, on the Temporal server that TEMPORAL_ADDRESS names.
	Escalate   bool       `json:"escalate"`
	Escalation Escalation `json:"escalation"`
}

// Escalation says how a person is asked to decide.
type Escalation struct {
	// Share is query (the last user message goes into the workflow) or none. A key's own entry in KeysFile overrides it.
	Share string `json:"share"`
	// CodecKeyEnv names the environment variable with the key that encrypts what Temporal stores: the base64 of 32 bytes.
	// Empty: in clear.
	CodecKeyEnv string `json:"codec_key_env"`
	// CodecOrigin is where the Temporal Web UI is served (http://localhost:8080). Its pages may then have payloads decrypted
	// at MetricsAddress, under /codec, by whoever reaches that: it must be a loopback address. Empty: nobody may.
	CodecOrigin string `json:"codec_origin"`
	// ReminderMinutes lie between two reminders; 0: none. After DeadlineMinutes, Default (allow or deny) is the decision.
	ReminderMinutes int    `json:"reminder_minutes"`
	DeadlineMinutes int    `json:"deadline_minutes"`
	Default         string `json:"default"`
	// Outbox is the folder in which cases wait until Temporal has them.
	Outbox string `json:"outbox"`
}

// Audit says what is logged of each answer, and where.
type Audit struct {
	// Dir holds the log. One process at a time may write it.
	Dir string `json:"dir"`
	// KeysDir holds the log's secrets, which the first start makes. It lies outside Dir.
	KeysDir string `json:"keys_dir"`
	// ReasoningHash is hmac (the thinking can be guessed only with the key) or sha256.
	ReasoningHash string `json:"reasoning_hash"`
	// User is hmac (a pseudonym, which can be erased) or plain.
	User string `json:"user"`
	// SegmentMiB is the size at which the log goes on in a new file.
	SegmentMiB int `json:"segment_mib"`
	// CheckpointRecords and CheckpointSeconds: a signed checkpoint after so many records, or so long after the first of them.
	CheckpointRecords int `json:"checkpoint_records"`
	CheckpointSeconds int `json:"checkpoint_seconds"`
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

// LoadServing reads the file as strictly as Load reads that of a run. An empty path is a file without keys.
func LoadServing(path string, set map[string]any) (*Serving, error) {
	if path == "" {
		return ParseServing("defaults", nil, set)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return ParseServing(path, text, set)
}

// ParseServing is LoadServing for a text already read; name stands for the file in errors.
func ParseServing(name string, text []byte, set map[string]any) (*Serving, error) {
	s := DefaultServing()
	if err := decode(name, text, set, &s, func(d *decoder) { d.checkServing(&s) }); err != nil {
		return nil, err
	}
	return &s, nil
}
