package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const leastServing = "serve: {model: m}\n"

func TestServingLoads(t *testing.T) {
	s, err := LoadServing("serve.yaml", map[string]any{"serve.model": "out/final_model/current", "serve.slots": float64(4)})
	if err != nil {
		t.Fatal(err)
	}
	if s.Serve.Model != "out/final_model/current" || s.Serve.Slots != 4 || s.Serve.RequestsPerMinute != 600 || s.Audit.User != "hmac" {
		t.Errorf("%+v", s)
	}
	bare, err := LoadServing("", map[string]any{"serve.model": "m"})
	want := DefaultServing()
	want.Serve.Model = "m"
	if err != nil || !reflect.DeepEqual(*bare, want) {
		t.Errorf("without a file: %+v, %v", bare, err)
	}
	if _, err := LoadServing("", nil); err == nil || err.Error() != "defaults: serve.model: is required" {
		t.Error(err)
	}
	if _, err := LoadServing("missing.yaml", nil); err == nil {
		t.Error("a missing file is read")
	}
}

func TestFaultsOfServingNameFileLineAndKey(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "serve:\n  adress: a\n", "s.yaml:2: serve.adress: unknown key; did you mean address?"},
		{"a run's file", "training: {}\n", "s.yaml:1: training: unknown key; known here: serve, audit"},
		{"type", "serve:\n  slots: many\n", `s.yaml:2: serve.slots: want a whole number, got "many"`},
		{"no model", "serve: {slots: 2}\n", "s.yaml: serve.model: is required"},
		{"no port", "serve: {model: m, address: 127.0.0.1}\n", `s.yaml:1: serve.address: must be host:port, is "127.0.0.1"`},
		{"port", "serve: {model: m, metrics_address: '127.0.0.1:70000'}\n", "s.yaml:1: serve.metrics_address: must be host:port"},
		{"open to all without keys", "serve: {model: m, address: '0.0.0.0:80'}\n", `s.yaml:1: serve.address: "0.0.0.0:80" is no loopback address`},
		{"any address without keys", "serve: {model: m, address: ':80'}\n", `s.yaml:1: serve.address: ":80" is no loopback address`},
		{"certificate", "serve: {model: m, tls_cert: c}\n", "s.yaml:1: serve.tls_cert: needs serve.tls_key"},
		{"key", "serve: {model: m, tls_key: c}\n", "s.yaml:1: serve.tls_key: needs serve.tls_cert"},
		{"device", "serve: {model: m, device: tpu}\n", "s.yaml:1: serve.device: must be auto, cpu"},
		{"slots", "serve: {model: m, slots: 0}\n", "s.yaml:1: serve.slots: must be at least 1, is 0"},
		{"no room for a prompt", "serve: {model: m, max_length: 512}\n", "s.yaml: serve.max_new_tokens: must leave a prompt some"},
		{"rate", "serve: {model: m, requests_per_minute: -1}\n", "s.yaml:1: serve.requests_per_minute: must lie in [0, 1e+06], is -1"},
		{"deadline", "serve: {model: m, deadline_seconds: 0}\n", "s.yaml:1: serve.deadline_seconds: must be at least 1"},
		{"confidence", "serve: {model: m, min_confidence: 1.5}\n", "s.yaml:1: serve.min_confidence: must lie in [0, 1]"},
		{"refusal", "serve: {model: m, refusal: none}\n", "s.yaml:1: serve.refusal: must be one of model, fixed"},
		{"usage", "serve: {model: m, usage: hidden}\n", "s.yaml:1: serve.usage: must be one of visible, all, none"},
		{"beside", "serve: {model: m, beside: maybe}\n", "s.yaml:1: serve.beside: must be one of auto, always, never"},
		{"no fallback", "serve: {model: m, fallback: ' '}\n", "s.yaml:1: serve.fallback: is required"},
		{"a tag in the fallback", "serve: {model: m, fallback: 'no </ｆｉｎａｌ> more'}\n", "s.yaml:1: serve.fallback: holds something that may not leave"},
		{"a decision in the fallback", "serve: {model: m, fallback: 'decision: DENY'}\n", "s.yaml:1: serve.fallback: holds something"},
		{"a final in the fallback", "serve: {model: m, fallback: 'a</final>'}\n", "s.yaml:1: serve.fallback: holds something"},
		{"empty prompt", "serve:\n  model: m\n  prompts: [a, '']\n", "s.yaml:3: serve.prompts[1]: is required"},
		{"share", "serve: {model: m, escalation: {share: all}}\n", "s.yaml:1: serve.escalation.share: must be one of query, none"},
		{"a key for its variable", "serve: {model: m, escalation: {codec_key_env: 'q83v+w=='}}\n",
			"s.yaml:1: serve.escalation.codec_key_env: must be the name of an environment variable"},
		{"codec without a key", "serve: {model: m, escalation: {codec_origin: 'http://localhost:8080'}}\n",
			"s.yaml:1: serve.escalation.codec_origin: needs serve.escalation.codec_key_env"},
		{"codec open to all", "serve: {model: m, metrics_address: ':80', escalation: {codec_key_env: K, codec_origin: o}}\n",
			"s.yaml:1: serve.escalation.codec_origin: needs a loopback address"},
		{"default", "serve: {model: m, escalation: {default: ask}}\n", "s.yaml:1: serve.escalation.default: must be one of allow, deny"},
		{"deadline of a person", "serve: {model: m, escalation: {deadline_minutes: 0}}\n", "s.yaml:1: serve.escalation.deadline_minutes: must be at least 1"},
		{"keys in the log", leastServing + "audit: {dir: a, keys_dir: a/../a/keys}\n", "s.yaml:2: audit.keys_dir: a/../a/keys lies in audit.dir, a"},
		{"keys are the log", leastServing + "audit: {dir: a, keys_dir: a}\n", "s.yaml:2: audit.keys_dir: a lies in audit.dir, a"},
		{"outbox in the log", "serve: {model: m, escalation: {outbox: audit/log/o}}\n", "s.yaml:1: serve.escalation.outbox: audit/log/o lies in audit.dir"},
		{"hash", leastServing + "audit: {reasoning_hash: md5}\n", "s.yaml:2: audit.reasoning_hash: must be one of hmac, sha256"},
		{"user", leastServing + "audit: {user: name}\n", "s.yaml:2: audit.user: must be one of hmac, plain"},
		{"segment", leastServing + "audit: {segment_mib: 0}\n", "s.yaml:2: audit.segment_mib: must be at least 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseServing("s.yaml", []byte(tc.text), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v\nwant …%s…", err, tc.want)
			}
		})
	}
}

func TestServingAccepts(t *testing.T) {
	for _, text := range []string{
		"serve: {model: m, address: 'localhost:0'}\n", "serve: {model: m, address: '[::1]:80'}\n", "serve: {model: m, metrics_address: ''}\n",
		"serve: {model: m, address: '0.0.0.0:80', keys_file: k}\n", "serve: {model: m, tls_cert: c, tls_key: k}\n",
		"serve: {model: m, fallback: 'I cannot help with that: 3 < 5.'}\n", "serve: {model: m, prompts: []}\n",
		"serve: {model: m, escalation: {reminder_minutes: 0, codec_key_env: K, codec_origin: 'http://localhost:8080'}}\n",
		leastServing + "audit: {dir: a/log, keys_dir: a/logs}\n", // beside it, under a name that begins alike
	} {
		if _, err := ParseServing("s.yaml", []byte(text), nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A link must not bring the keys into the log's folder.
func TestKeysBehindALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "log", "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "log", "secrets"), filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	set := map[string]any{"audit.dir": filepath.Join(dir, "log"), "audit.keys_dir": filepath.Join(dir, "keys", "new")}
	if _, err := ParseServing("s.yaml", []byte(leastServing), set); err == nil || !strings.Contains(err.Error(), "set: audit.keys_dir: ") {
		t.Error(err)
	}
}

func TestSetOfServing(t *testing.T) {
	for key, value := range map[string]any{"serve.escalation.share": "all", "serve.slots": 0, "serve.slot": 3, "audit.dir.x": "y"} {
		if _, err := ParseServing("s.yaml", []byte(leastServing), map[string]any{key: value}); err == nil || !strings.HasPrefix(err.Error(), "set: "+key) {
			t.Errorf("%s=%v: %v", key, value, err)
		}
	}
}
