package main

import (
	"context"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"so8t/contract"
)

// addSearchAttributes registers the runs' search attributes where the server allows it, and reports
// whether all of them exist: a workflow that sets an unknown one is stuck.
func addSearchAttributes(ctx context.Context, c client.Client, namespace string, logger *slog.Logger) bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	missing := missingAttributes(ctx, c, namespace)
	if len(missing) > 0 {
		wanted := map[string]enums.IndexedValueType{}
		for _, name := range missing {
			wanted[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
		}
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: wanted})
		if err != nil {
			logger.Warn("search attributes cannot be added here; runs do without", "missing", missing, "error", err)
			return false
		}
	}
	// The server's front end takes a moment to see new ones.
	for len(missing) > 0 && ctx.Err() == nil {
		if missing = missingAttributes(ctx, c, namespace); len(missing) > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	if len(missing) > 0 {
		logger.Warn("search attributes are missing; runs do without", "missing", missing)
	}
	return len(missing) == 0
}

func missingAttributes(ctx context.Context, c client.Client, namespace string) (missing []string) {
	answer, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	for _, name := range contract.SearchAttributes() {
		if err != nil || answer.GetCustomAttributes()[name] != enums.INDEXED_VALUE_TYPE_KEYWORD {
			missing = append(missing, name)
		}
	}
	return missing
}
