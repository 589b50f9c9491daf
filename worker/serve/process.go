package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/worker"

	"so8t/configs"
	"so8t/device"
	"so8t/serve"
	"so8t/serve/api"
	"so8t/serve/audit"
	"so8t/serve/escalation"
	"so8t/serve/guard"
	"so8t/serve/model"
	"so8t/serve/panics"
	"so8t/serve/promotion"
	"so8t/workflows"
)

// process is a server and its parts.
type process struct {
	config *configs.Serving
	log    *slog.Logger
	keys   *api.Keys // nil: no key is asked for
	server *serve.Server
	audit  *audit.Log
	codec  *escalation.Codec // nil: escalations are in clear
	desk   *escalation.Desk  // nil: nobody is asked
	models *promotion.Follower

	metrics *api.Metrics
}

// open does everything that can fail before a model is loaded: nobody waits for one to hear of a wrong path.
func (p *process) open(temporal Temporal) (err error) {
	s := &p.config.Serve
	if s.KeysFile != "" {
		if p.keys, err = api.LoadKeys(s.KeysFile); err != nil {
			return err
		}
	}
	p.server, err = serve.Listen(serve.Options{Address: s.Address, LoopbackOnly: s.KeysFile == "", TLSCert: s.TLSCert, TLSKey: s.TLSKey,
		InternalAddress: s.MetricsAddress, Drain: time.Duration(s.DrainSeconds) * time.Second, Log: p.log})
	if err != nil {
		return err
	}
	if err := p.openAudit(); err != nil {
		return err
	}
	if s.Escalate {
		return p.openDesk(temporal)
	}
	return nil
}

func (p *process) openAudit() error {
	a := &p.config.Audit
	keys, err := audit.LoadKeys(a.KeysDir)
	if err != nil {
		return err
	}
	p.audit, err = audit.Open(audit.Options{Dir: a.Dir, Keys: keys, ReasoningHash: a.ReasoningHash, User: a.User, SegmentBytes: int64(a.SegmentMiB) << 20,
		CheckpointRecords: a.CheckpointRecords, CheckpointEvery: time.Duration(a.CheckpointSeconds) * time.Second,
		// A copy outside the log: whoever cuts the log behind a checkpoint would have to reach this one too.
		Emit: func(note string) { p.log.Info("audit checkpoint", "note", note) }})
	return err
}

func (p *process) openDesk(temporal Temporal) error {
	e := &p.config.Serve.Escalation
	if e.CodecKeyEnv != "" {
		key, set := os.LookupEnv(e.CodecKeyEnv)
		if !set {
			return fmt.Errorf("serve.escalation.codec_key_env: the environment has no %s", e.CodecKeyEnv)
		}
		var err error
		if p.codec, err = escalation.NewCodec(key); err != nil {
			return fmt.Errorf("%s: %w", e.CodecKeyEnv, err)
		}
	}
	options, err := temporal(p.log)
	if err != nil {
		return err
	}
	p.desk, err = escalation.New(escalation.Options{Outbox: e.Outbox, Temporal: options, Codec: p.codec,
		Workflows: func(w worker.WorkflowRegistry) { w.RegisterWorkflow(workflows.Escalation) },
		Recorder:  p.audit, AuditDir: p.config.Audit.Dir, Share: p.share, User: p.audit.User,
		RemindEvery: time.Duration(e.ReminderMinutes) * time.Minute, Deadline: time.Duration(e.DeadlineMinutes) * time.Minute, Default: e.Default, Log: p.log})
	return err
}

// share is what the owner of a key lets a person see of a request.
func (p *process) share(key string) string {
	if p.keys != nil {
		if own := p.keys.Share(key); own != "" {
			return own
		}
	}
	return p.config.Serve.Escalation.Share
}

// run serves until told ends, or the first model cannot be loaded.
func (p *process) run(told context.Context) error {
	p.metrics = api.NewMetrics()
	p.follow()
	public := p.routes()
	p.log.Info("listening", "url", p.server.URL(), "metrics", p.server.InternalURL())

	ctx, stop := context.WithCancelCause(told)
	defer stop(nil)
	beside, end := context.WithCancel(context.Background()) // what answers under way need goes on while they do
	var running sync.WaitGroup
	running.Go(func() {
		defer panics.Recover(p.log, "promotion", func() { stop(errors.New("following the model panicked")) })
		if err := p.models.Run(beside); err != nil {
			stop(fmt.Errorf("serve.model: %w", err))
		}
	})
	if p.desk != nil {
		running.Go(func() {
			defer panics.Recover(p.log, "escalation", func() { stop(errors.New("escalating panicked")) })
			p.desk.Run(beside)
		})
	}
	running.Go(func() {
		defer panics.Recover(p.log, "reading keys again", nil)
		p.reloadOnHangup(beside)
	})
	running.Go(func() {
		defer panics.Recover(p.log, "announcing", nil)
		p.announce(beside)
	})
	err := p.server.Run(ctx, public, p.internal())
	end()
	running.Wait()
	if err == nil && told.Err() == nil {
		err = context.Cause(ctx)
	}
	return err
}

// close ends the audit log: what was answered is on disk and signed.
func (p *process) close() error {
	if p.server != nil {
		p.server.Close()
	}
	if p.audit == nil {
		return nil
	}
	err := p.audit.Close()
	if err == nil {
		p.log.Info("stopped")
	}
	return err
}

// follow makes the follower of the promoted model.
func (p *process) follow() {
	s := &p.config.Serve
	options := func(path string) model.Options {
		return model.Options{Path: path, Device: device.MustParse(s.Device), Threads: s.Threads, Int8: s.LoadIn8bit, Float32: !s.BF16, Slots: s.Slots,
			Queue: s.Queue, MaxLength: s.MaxLength}
	}
	p.models = promotion.New(promotion.Options{Link: s.Model, Every: time.Duration(s.PollSeconds) * time.Second, Beside: s.Beside,
		Prompts: s.Prompts, Log: p.log,
		Open: func(ctx context.Context, path string) (promotion.Loaded, error) {
			m, err := model.Open(ctx, options(path))
			if err != nil {
				return nil, err // not m: an interface that holds a nil pointer is not nil
			}
			return m, nil
		},
		Need: func(path string) (int64, error) { return model.Need(options(path)) },
		Note: p.note})
}

// note records what is no answer; serving goes on without the record.
func (p *process) note(ctx context.Context, kind string, detail map[string]string) {
	if err := p.audit.Event(ctx, audit.Event{Kind: kind, Detail: detail}); err != nil {
		p.metrics.AuditFailed()
		p.log.Error("the audit log has no record of it", "kind", kind, "error", err)
	}
}

// routes joins the parts behind the public address.
func (p *process) routes() http.Handler {
	s := &p.config.Serve
	deadline := time.Duration(s.DeadlineSeconds) * time.Second
	var escalator guard.Escalator
	o := api.Options{Ready: p.ready, Model: p.models.Digest, ModelName: s.ModelName, Keys: p.keys, Loopback: p.keys == nil, InFlight: s.Slots + s.Queue,
		Rate: s.RequestsPerMinute / 60, Deadline: deadline, Usage: s.Usage, Metrics: p.metrics, Log: p.log}
	if p.desk != nil { // an interface that holds a nil pointer is not nil
		escalator, o.Escalations = p.desk, p.desk
	}
	o.Answerer = guard.New(p.models, p.audit, escalator, guard.Options{MaxNewTokens: s.MaxNewTokens, MinConfidence: s.MinConfidence, Refusal: s.Refusal,
		Fallback: s.Fallback, System: s.System, Deadline: deadline})
	return api.New(o)
}

// internal joins what is not for clients.
func (p *process) internal() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.metrics.Handler())
	if origin := p.config.Serve.Escalation.CodecOrigin; origin != "" {
		mux.Handle("/codec/", escalation.CodecServer(p.codec, origin))
	}
	return mux
}

var errAudit = &guard.Error{Kind: guard.Unavailable, Code: "audit_unavailable", Message: "the audit log cannot be written"}

// ready says why no question can be answered now.
func (p *process) ready() error {
	if p.server.Draining() {
		return serve.ErrStopping
	}
	if err := p.audit.Err(); err != nil {
		return fmt.Errorf("%w: %w", errAudit, err)
	}
	return p.models.Ready()
}

// announce prints one line when the first question can be answered.
func (p *process) announce(ctx context.Context) {
	for p.ready() != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	head, err := audit.LastNote(p.config.Audit.Dir)
	if err != nil {
		p.log.Error("the audit log's newest checkpoint cannot be read", "error", err)
		return
	}
	fmt.Printf("serving %s at %s, audit log at record %d, %s\n", p.models.Digest(), p.server.URL(), head.Seq, head.Hash)
}

// reloadOnHangup reads the API keys again at each SIGHUP, and the model.
func (p *process) reloadOnHangup(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		p.models.Reload()
		if p.keys == nil {
			continue
		}
		if err := p.keys.Reload(p.config.Serve.KeysFile); err != nil {
			p.log.Error("the API keys stay as they were", "error", err)
			continue
		}
		p.log.Info("API keys read again")
		p.note(ctx, "keys_reloaded", nil)
	}
}
