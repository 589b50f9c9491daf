package activities

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"so8t/contract"
	"so8t/device"
	"so8t/disk"
	"so8t/native/nativetest"
	"so8t/rundir"
)

// smallRun is a run of two steps on the GPU that has been split.
type smallRun struct {
	t          *testing.T
	activities *Activities
	run        contract.Run
	digest     string
}

func newSmallRun(t *testing.T) *smallRun {
	t.Helper()
	files, err := filepath.Glob("../demo/data/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("the demo's dataset is missing: %v", err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	records := filepath.Join(dir, "records.jsonl")
	if err := os.WriteFile(records, []byte(strings.Join(slices.Collect(strings.Lines(string(text)))[:10], "")), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &smallRun{t: t, activities: quietActivities(&fakeServer{})}
	var claimed contract.Claimed
	r.do(r.activities.Claim, contract.ClaimInput{RunInput: contract.RunInput{Config: "../configs/demo.yaml", Set: map[string]any{
		"output_dir": filepath.Join(dir, "out"), "data.input_path": records, "model.base_model_path": "../demo/base", "device": "cuda",
		"training.num_train_epochs": 1, "training.per_device_train_batch_size": 1, "training.gradient_accumulation_steps": 1, "training.lora_r": 4,
		"training.lora_target_modules": []any{"o_proj"}, "training.save_steps": 1, "training.eval_steps": 1000, "so8t.enabled": false,
	}}}, &claimed)
	r.run = claimed.Run
	var split contract.SplitResult
	r.do(r.activities.Split, r.run, &split)
	r.digest = split.DatasetDigest
	return r
}

func (r *smallRun) do(activity, in, out any) {
	r.t.Helper()
	if err := r.try(activity, in, out); err != nil {
		r.t.Fatal(err)
	}
}

func (r *smallRun) try(activity, in, out any) error {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(activity)
	value, err := env.ExecuteActivity(activity, in)
	if err != nil {
		return err
	}
	return value.Get(out)
}

func (r *smallRun) train() (result contract.TrainResult, err error) {
	err = r.try(r.activities.Train, contract.TrainInput{Run: r.run, DatasetDigest: r.digest, Epoch: 1}, &result)
	return result, err
}

// finish trains to the end of the epoch and returns the digest of what was trained.
func (r *smallRun) finish() string {
	r.t.Helper()
	result, err := r.train()
	if err != nil || !result.EpochDone {
		r.t.Fatalf("epoch done %v: %v", result.EpochDone, err)
	}
	state, err := os.ReadFile(filepath.Join(r.run.OutputDir, "checkpoints", result.Checkpoint, "state.safetensors"))
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("step %d, %x", result.Progress.Step, sha256.Sum256(state))
}

// multiplyAs takes over the other run's choices: a GPU times the algorithms for its products, and others give other bits.
func (r *smallRun) multiplyAs(other *smallRun) {
	r.t.Helper()
	choices, err := os.ReadFile(rundir.Layout(other.run.OutputDir).Algorithms())
	if err == nil {
		err = os.WriteFile(rundir.Layout(r.run.OutputDir).Algorithms(), choices, 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// A device, a driver or a library that fails is an error of the device, which pauses the run with what a person can do;
// once that is done the same work goes on, in the same process, to the same bits.
func TestDeviceFaults(t *testing.T) {
	nativetest.EmulatedGPU(t)
	calm := newSmallRun(t)
	want := calm.finish()
	for _, c := range []struct {
		name, variable, value, errType string
		says                           []string
	}{
		{"cuBLAS is missing", "SO8T_EMULATED_FAULT", "cublas_missing", contract.ErrDevice, []string{"cuBLASLt was not found", "CUDA_HOME", "then resume"}},
		{"the driver is too old", "SO8T_EMULATED_FAULT", "old_driver", contract.ErrDevice,
			[]string{"the NVIDIA driver supports CUDA 12.0, this library needs 13.0: update the driver", "then resume"}},
		{"the device is lost", "SO8T_EMULATED_FAULT", "lost@200", contract.ErrDevice,
			[]string{"unspecified launch failure", "restart the worker", "then resume"}},
		{"there is no memory", "SO8T_EMULATED_FAULT", "out_of_memory", contract.ErrMemory, []string{"out of memory"}},
		{"there is no GPU", "SO8T_EMULATED_DEVICES", "0", contract.ErrDevice, []string{"there is no NVIDIA GPU", "nvidia-smi", "then resume"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newSmallRun(t)
			r.multiplyAs(calm)
			t.Setenv(c.variable, c.value)
			for range 2 { // a resume before the fault is mended asks again
				_, err := r.train()
				var failed *temporal.ApplicationError
				if !errors.As(err, &failed) || failed.Type() != c.errType || !slices.Contains(contract.NeedsPerson(), failed.Type()) || !failed.NonRetryable() {
					t.Fatalf("training ends with %v", err)
				}
				for _, text := range c.says {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%q does not say %q", err, text)
					}
				}
				r.run.Resumes++
			}
			if err := os.Unsetenv(c.variable); err != nil {
				t.Fatal(err)
			}
			if got := r.finish(); got != want {
				t.Errorf("after the fault: %s, without one: %s", got, want)
			}
		})
	}
}

// A claim gives the run a device of the host: auto the first GPU, cuda:1 the second; of two GPUs there is no third.
func TestClaimGivesADevice(t *testing.T) {
	nativetest.EmulatedGPU(t)
	t.Setenv("SO8T_EMULATED_DEVICES", "2")
	for name, want := range map[string]device.Device{"auto": {Kind: device.CUDA}, "cuda": {Kind: device.CUDA}, "cpu": {Kind: device.CPU},
		"cuda:1": {Kind: device.CUDA, Ordinal: 1}} {
		if got, err := claimDevice(name); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	_, err := claimDevice("cuda:2")
	if errorType(err) != contract.ErrDevice || !strings.Contains(err.Error(), "cuda:2") || !strings.Contains(err.Error(), "2 GPUs") {
		t.Errorf("cuda:2 of two GPUs: %v", err)
	}
	if got := Devices(); len(got) != 2 || got[0].String() != "cuda:0" || got[1].String() != "cuda:1" {
		t.Errorf("devices are %v", got)
	}
	t.Setenv("SO8T_EMULATED_DEVICES", "0")
	if got, err := claimDevice("auto"); got.Kind != device.CPU || err != nil {
		t.Errorf("auto without a GPU: %s, %v", got, err)
	}
	if _, err := claimDevice("cuda"); errorType(err) != contract.ErrDevice {
		t.Errorf("cuda without a GPU: %v", err)
	}
}

// The second GPU trains the same bits as the first, whoever holds the first.
func TestSecondGPU(t *testing.T) {
	nativetest.EmulatedGPU(t)
	t.Setenv("SO8T_EMULATED_DEVICES", "2")
	t.Setenv("CUDA_VISIBLE_DEVICES", "4,5")
	want := newSmallRun(t).finish()
	second := newSmallRun(t)
	second.run.Device.Ordinal = 1
	holder, err := disk.AcquireLease(t.Context(), filepath.Join(os.TempDir(), "so8t-cuda-4"), disk.Claimant{Owner: "another", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Release()
	if got := second.finish(); got != want {
		t.Errorf("cuda:1 trains %s, cuda:0 %s", got, want)
	}
	third := newSmallRun(t)
	if _, err := third.train(); errorType(err) != contract.ErrDeviceInUse {
		t.Errorf("the first GPU is held: %v", err)
	}
}
