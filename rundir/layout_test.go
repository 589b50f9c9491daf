package rundir

import (
	"path/filepath"
	"testing"
)

// These names are contracts with users and with the runs on their disks: no constant of the package is used here.
func TestLayoutIsTheContract(t *testing.T) {
	l := Layout("/out")
	for want, got := range map[string]string{
		"splits":                                 l.Splits(),
		"splits/train.arrow":                     l.Samples(Train),
		"splits/val.arrow":                       l.Samples(Validation),
		"splits/test.arrow":                      l.Samples(Test),
		"splits/manifest.json":                   l.SplitManifest(),
		"splits/policy_report.json":              l.PolicyReport(),
		"checkpoints":                            l.Checkpoints(),
		"checkpoints/checkpoint_epoch_1_step_20": l.Checkpoint("checkpoint_epoch_1_step_20"),
		"final_model":                            l.FinalModel(),
		"final_model/adapter":                    l.Adapter(),
		"final_model/adapter/adapter_model.safetensors":     l.AdapterWeights(),
		"final_model/adapter_oft":                           l.AdapterOFT(),
		"final_model/adapter_oft/adapter_model.safetensors": l.AdapterOFTWeights(),
		"final_model/merged":                                l.Merged(),
		"final_model/current":                               l.Current(),
		"final_model/so8t_retraining_metadata.json":         l.Metadata(),
		"performance_report.json":                           l.PerformanceReport(),
		"evaluation/base.json":                              l.Evaluation(Base),
		"evaluation/retrained.json":                         l.Evaluation(Retrained),
		"ab_test":                                           l.ABTest(),
		"ab_test/ab_test_results.json":                      l.ABTestResults(),
		"ab_test/ab_test_report.html":                       l.ABTestReport(),
		"logs/borea.log":                                    l.Log("borea"),
		"logs/a_b_c.log":                                    l.Log("a/b:c"),
		"products.choices":                                  l.Algorithms(),
		"run.json":                                          l.owner(),
		".owner":                                            l.ownerLock(),
		".nights":                                           l.nightsLock(),
		".starts.json":                                      l.starts(),
		".done/export.json":                                 l.done("export"),
		".done/evaluate-base.jsonl":                         l.journal("evaluate-base"),
		"2026-11-25T0200/final_model/merged":                l.Night("2026-11-25T0200").Merged(),
		".2026-11-25T0200-2.removed":                        l.removed("2026-11-25T0200-2"),
	} {
		if got != filepath.Join("/out", want) {
			t.Errorf("%s, want /out/%s", got, want)
		}
	}
	if !removedNight.MatchString(filepath.Base(l.removed("2026-11-25T0200-2"))) {
		t.Error("a removed night is not recognised")
	}
	if got := Expand("runs/{workflow_id}/out", `a/b\c`); got != "runs/a_b_c/out" {
		t.Errorf("Expand gives %s", got)
	}
}
