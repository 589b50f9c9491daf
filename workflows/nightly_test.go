package workflows

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"

	"so8t/configs"
	"so8t/contract"
)

// A night has the time that it was scheduled for, however late it starts; without nightly a run has none.
func TestClaimOfANight(t *testing.T) {
	nominal, began := time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC), time.Date(2026, 11, 24, 19, 30, 0, 0, time.UTC)
	const nightly = `{"config":"c.yaml","nightly":{"time_zone":"Asia/Tokyo"}}`
	for name, tc := range map[string]struct {
		input     string
		scheduled bool
		at        time.Time
		by        string
	}{
		"by a schedule": {nightly, true, nominal, "nightly-c"},
		"by hand":       {nightly, false, began, ""},
		"no night":      {input, true, time.Time{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.SetStartTime(began)
			if tc.scheduled {
				attributes := temporal.NewSearchAttributes(scheduledAt.ValueSet(nominal), scheduledBy.ValueSet("nightly-c"))
				if err := b.SetTypedSearchAttributesOnStart(attributes); err != nil {
					t.Fatal(err)
				}
			}
			var got contract.ClaimInput
			b.OnActivity(contract.Claim, mock.Anything, mock.Anything).Return(func(_ context.Context, in contract.ClaimInput) (contract.Claimed, error) {
				got = in
				return contract.Claimed{Run: contract.Run{WorkflowID: "w", Host: "h", OutputDir: "/out", Config: configs.Default()}}, nil
			})
			b.healthy()
			if _, err := b.run(tc.input); err != nil {
				t.Fatal(err)
			}
			if !got.ScheduledAt.Equal(tc.at) || got.ScheduledBy != tc.by || (got.Nightly != nil) != (tc.input == nightly) {
				t.Errorf("%+v", got)
			}
		})
	}
}
