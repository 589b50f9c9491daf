package configs

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"so8t/device"
	"so8t/quadruple"
)

// checkServing refuses values out of range, as check does.
func (d *decoder) checkServing(s *Serving) {
	k := checker{d}
	k.text("serve.model", s.Serve.Model)
	k.text("serve.model_name", s.Serve.ModelName)
	k.addresses(&s.Serve)
	k.holding(&s.Serve)
	k.answering(&s.Serve)
	k.oneOf("serve.beside", s.Serve.Beside, []string{"auto", "always", "never"})
	k.atLeast("serve.poll_seconds", s.Serve.PollSeconds, 1)
	for i, prompt := range s.Serve.Prompts {
		k.text(fmt.Sprintf("serve.prompts[%d]", i), prompt)
	}
	k.escalation(&s.Serve)
	k.audit(&s.Audit)
	k.outside("serve.escalation.outbox", s.Serve.Escalation.Outbox, s.Audit.Dir)
}

func (k checker) addresses(s *Serve) {
	host, ok := k.address("serve.address", s.Address)
	k.need(!ok || s.KeysFile != "" || loopback(host), "serve.address",
		"%q is no loopback address; without serve.keys_file only this host may ask", s.Address)
	if s.MetricsAddress != "" {
		k.address("serve.metrics_address", s.MetricsAddress)
	}
	k.need(s.TLSCert == "" || s.TLSKey != "", "serve.tls_cert", "needs serve.tls_key")
	k.need(s.TLSKey == "" || s.TLSCert != "", "serve.tls_key", "needs serve.tls_cert")
}

// address checks the form host:port; port 0 takes a free one.
func (k checker) address(key, v string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(v)
	_, badPort := strconv.ParseUint(port, 10, 16)
	ok = err == nil && badPort == nil
	k.need(ok, key, "must be host:port, is %q", v)
	return host, ok
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (k checker) holding(s *Serve) {
	on, err := device.Parse(s.Device)
	k.need(err == nil && on.Kind != device.Emulated, "serve.device", "must be auto, cpu, cuda or cuda:N, is %q", s.Device)
	k.atLeast("serve.threads", s.Threads, 0)
	k.atLeast("serve.slots", s.Slots, 1)
	k.atLeast("serve.queue", s.Queue, 0)
	k.atLeast("serve.max_length", s.MaxLength, 0)
	k.atLeast("serve.max_new_tokens", s.MaxNewTokens, 1)
	k.need(s.MaxLength == 0 || s.MaxNewTokens < s.MaxLength, "serve.max_new_tokens",
		"must leave a prompt some of serve.max_length, which is %d, is %d", s.MaxLength, s.MaxNewTokens)
	k.within("serve.requests_per_minute", s.RequestsPerMinute, 0, 1e6)
	k.atLeast("serve.deadline_seconds", s.DeadlineSeconds, 1)
	k.atLeast("serve.drain_seconds", s.DrainSeconds, 0)
}

func (k checker) answering(s *Serve) {
	k.within("serve.min_confidence", s.MinConfidence, 0, 1)
	k.oneOf("serve.refusal", s.Refusal, []string{"model", "fixed"})
	k.oneOf("serve.usage", s.Usage, []string{"visible", "all", "none"})
	k.text("serve.fallback", s.Fallback)
	// A fallback that the filter would cut looks to a client like thinking.
	answer := quadruple.Quadruple{Safety: quadruple.DecisionLine(quadruple.Labels[0]), Final: s.Fallback}
	leaves, end := quadruple.Answer(answer.String())
	k.need(end == quadruple.Closed && leaves == strings.TrimSpace(s.Fallback), "serve.fallback",
		"holds something that may not leave in an answer: a tag of the four-part form or a decision line")
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (k checker) escalation(s *Serve) {
	e := &s.Escalation
	k.oneOf("serve.escalation.share", e.Share, []string{"query", "none"})
	k.need(e.CodecKeyEnv == "" || variableName.MatchString(e.CodecKeyEnv), "serve.escalation.codec_key_env",
		"must be the name of an environment variable, never the key itself")
	metrics, _, _ := net.SplitHostPort(s.MetricsAddress)
	k.need(e.CodecOrigin == "" || e.CodecKeyEnv != "", "serve.escalation.codec_origin", "needs serve.escalation.codec_key_env")
	k.need(e.CodecOrigin == "" || loopback(metrics), "serve.escalation.codec_origin",
		"needs a loopback address as serve.metrics_address: whoever reaches it may decrypt")
	k.atLeast("serve.escalation.reminder_minutes", e.ReminderMinutes, 0)
	k.atLeast("serve.escalation.deadline_minutes", e.DeadlineMinutes, 1)
	k.oneOf("serve.escalation.default", e.Default, []string{"allow", "deny"})
	k.text("serve.escalation.outbox", e.Outbox)
}

func (k checker) audit(a *Audit) {
	k.text("audit.dir", a.Dir)
	k.text("audit.keys_dir", a.KeysDir)
	k.outside("audit.keys_dir", a.KeysDir, a.Dir)
	k.oneOf("audit.reasoning_hash", a.ReasoningHash, []string{"hmac", "sha256"})
	k.oneOf("audit.user", a.User, []string{"hmac", "plain"})
	k.atLeast("audit.segment_mib", a.SegmentMiB, 1)
	k.atLeast("audit.checkpoint_records", a.CheckpointRecords, 1)
	k.atLeast("audit.checkpoint_seconds", a.CheckpointSeconds, 1)
}

// outside refuses a folder that is dir or lies in it: whoever copies the log would take it along.
func (k checker) outside(key, folder, dir string) {
	inside, err := filepath.Rel(resolved(dir), resolved(folder))
	k.need(err != nil || !filepath.IsLocal(inside), key, "%s lies in audit.dir, %s", folder, dir)
}

// resolved is path without links, as far as it exists.
func resolved(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(path); err == nil || filepath.Dir(path) == path {
		return real
	}
	return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))
}
