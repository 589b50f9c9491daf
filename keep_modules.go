//go:build keep

package house

import (
	_ "github.com/hybridgroup/yzma/pkg/llama"
	_ "github.com/openai/openai-go/v3"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "go.opentelemetry.io/otel/exporters/prometheus"
	_ "go.opentelemetry.io/otel/sdk/metric"
	_ "golang.org/x/mod/sumdb/note"
	_ "golang.org/x/net/netutil"
	_ "golang.org/x/time/rate"
)
