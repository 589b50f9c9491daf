package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// Metrics counts what the routes do. Values of labels come from closed sets (routes, statuses, safety labels, finish
// reasons, codes of this package), never from a request.
type Metrics struct {
	registry *prometheus.Registry
	meter    metric.Meter

	requests, answers, escalations, refusals metric.Int64Counter
	promptTokens, visibleTokens              metric.Int64Counter
	auditFailures, unknown                   metric.Int64Counter
	firstVisible, complete                   metric.Float64Histogram
}

// seconds are the bounds of the histograms' buckets: from a refusal at once to the deadline.
var seconds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120}

// NewMetrics returns counters in a registry of their own, with those of the process and of Go's runtime.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter := must(otelprometheus.New(otelprometheus.WithRegisterer(m.registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo()))
	m.meter = sdk.NewMeterProvider(sdk.WithReader(exporter)).Meter("so8t/serve/api")
	counter := func(name, description string) metric.Int64Counter {
		return must(m.meter.Int64Counter(name, metric.WithDescription(description)))
	}
	histogram := func(name, description string) metric.Float64Histogram {
		return must(m.meter.Float64Histogram(name, metric.WithDescription(description), metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(seconds...)))
	}
	m.requests = counter("so8t_requests", "Requests by route and status; 499: the client had gone.")
	m.answers = counter("so8t_answers", "Answers by safety label and finish reason.")
	m.escalations = counter("so8t_escalated", "Answers that were escalated.")
	m.refusals = counter("so8t_refusals", "Requests that found no room: rate, requests in flight, queue.")
	m.promptTokens = counter("so8t_prompt_tokens", "Tokens of the prompts that were answered.")
	m.visibleTokens = counter("so8t_visible_tokens", "Tokens of the visible answers.")
	m.auditFailures = counter("so8t_audit_failures", "Records that the audit log could not take.")
	m.unknown = counter("so8t_unknown_fields", "Fields of chat completions that were ignored because nobody here knows them.")
	m.firstVisible = histogram("so8t_first_visible", "Time until the first visible byte of an answer.")
	m.complete = histogram("so8t_answer", "Time until the end of an answer.")
	m.escalations.Add(context.Background(), 0) // there from the start, so that an alert sees the first one
	m.auditFailures.Add(context.Background(), 0)
	return m
}

// must is for instruments: they fail by their names, which are written here.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Handler serves the metrics in Prometheus' text format. It belongs on a listener of its own.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// AuditFailed counts a record that the audit log could not take: of a request that failed by it, or of an event.
func (m *Metrics) AuditFailed() { m.auditFailures.Add(context.Background(), 1) }

// watch reads, at every scrape, how many requests are being answered and by which model.
func (m *Metrics) watch(inFlight func() int64, model func() string) {
	must(m.meter.Int64ObservableGauge("so8t_in_flight", metric.WithDescription("Requests being answered or waiting."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(inFlight())
			return nil
		})))
	must(m.meter.Int64ObservableGauge("so8t_model_info", metric.WithDescription("The current model, by its digest."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if digest := model(); digest != "" {
				o.Observe(1, metric.WithAttributes(attribute.String("digest", digest)))
			}
			return nil
		})))
}

func (m *Metrics) unknownFields(n int) {
	if n > 0 {
		m.unknown.Add(context.Background(), int64(n))
	}
}

// request counts a request that is over.
func (m *Metrics) request(x *exchange, status int, took time.Duration) {
	ctx := context.Background()
	route := attribute.String("route", x.route)
	m.requests.Add(ctx, 1, metric.WithAttributes(route, attribute.String("status", strconv.Itoa(status))))
	if f := x.failure; f != nil {
		if f.status == http.StatusTooManyRequests {
			m.refusals.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason(f.Code))))
		}
		if f.Code == "audit_unavailable" {
			m.AuditFailed()
		}
	}
	r := x.result
	if r == nil {
		return
	}
	m.answers.Add(ctx, 1, metric.WithAttributes(attribute.String("label", label(r.Label)), attribute.String("finish_reason", finishReason(r.FinishReason))))
	if r.Escalated {
		m.escalations.Add(ctx, 1)
	}
	m.promptTokens.Add(ctx, int64(r.PromptTokens))
	m.visibleTokens.Add(ctx, int64(r.CompletionTokens))
	m.complete.Record(ctx, took.Seconds(), metric.WithAttributes(route))
	if x.first > 0 {
		m.firstVisible.Record(ctx, x.first.Seconds(), metric.WithAttributes(route))
	}
}

// label, finishReason and reason keep a label of a metric or a log to its closed set.
func label(s string) string        { return oneOf(s, "ALLOW", "ESCALATION", "DENY", "REFUSE") }
func finishReason(s string) string { return oneOf(s, "stop", "length", "content_filter") }
func reason(s string) string {
	return oneOf(s, "rate_limit_exceeded", "too_many_in_flight", "queue_full")
}

func oneOf(s string, set ...string) string {
	if slices.Contains(set, s) {
		return s
	}
	return "other"
}
