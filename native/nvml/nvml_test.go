package nvml

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fake compiles a driver's library.
func fake(t *testing.T, defines ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed")
	}
	path := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	args := []string{"-shared", "-fPIC", "-o", path, "testdata/fake.c"}
	for _, d := range defines {
		args = append(args, "-D"+d)
	}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return path
}

func opened(t *testing.T, path string) *Device {
	t.Helper()
	d, err := open(path, 0, visibility{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// figures are those that the driver reported, by name.
func figures(s Sample) map[string]string {
	found := map[string]string{}
	for field, value := range reflect.ValueOf(s).Fields() {
		if !value.IsNil() {
			found[field.Name] = fmt.Sprint(value.Elem())
		}
	}
	return found
}

func TestSample(t *testing.T) {
	d := opened(t, fake(t))
	want := map[string]string{"MemoryUsedBytes": "5000000000", "MemoryTotalBytes": "85520809984", "UtilizationPercent": "97", "MemoryUtilizationPercent": "0",
		"PowerWatts": "512.345", "SMClockMHz": "1980", "MemoryClockMHz": "2619", "TemperatureCelsius": "64"}
	if got := figures(d.Sample()); !maps.Equal(got, want) {
		t.Errorf("sample %v\n  want %v", got, want)
	}
	if d.Name != "NVIDIA H100 80GB HBM3" || d.Driver != "580.159.04" {
		t.Errorf("name %q, driver %q", d.Name, d.Driver)
	}
	d.Close()
	d.Close()
	if s := d.Sample(); s != (Sample{}) {
		t.Errorf("after Close: %v", figures(s))
	}
}

// Figures that a driver refuses or lacks are absent, and no others.
func TestAbsentFigures(t *testing.T) {
	for define, missing := range map[string][]string{
		"VIRTUAL": {"UtilizationPercent", "MemoryUtilizationPercent"},
		"OLD":     {"PowerWatts"},
	} {
		got := figures(opened(t, fake(t, define)).Sample())
		if len(got) != 8-len(missing) {
			t.Errorf("%s: %v", define, got)
		}
		for _, name := range missing {
			if _, there := got[name]; there {
				t.Errorf("%s: %s is %s", define, name, got[name])
			}
		}
	}
}

func TestNoDriver(t *testing.T) {
	if _, err := open("libnvidia-ml-missing.so.1", 0, visibility{}); err == nil {
		t.Error("a library that is not there was opened")
	}
	if _, err := open(fake(t, "NO_DRIVER"), 0, visibility{}); err == nil || !strings.Contains(err.Error(), "Driver Not Loaded") {
		t.Errorf("no driver: %v", err)
	}
}

// The device is the one that CUDA takes, or none.
func TestVisibleDevices(t *testing.T) {
	three, split := fake(t, "DEVICES=3"), fake(t, "SPLIT")
	different := fake(t, "DEVICES=3", "DIFFERENT")
	for _, c := range []struct {
		name    string
		path    string
		ordinal int
		v       visibility
		want    int // index; −1: an error; −2: ErrUnknown
	}{
		{"nothing said", three, 1, visibility{}, 1},
		{"beyond the last", three, 3, visibility{}, -1},
		{"an ordinal", three, 0, visibility{list: "2,0", set: true}, 2},
		{"the second entry", three, 1, visibility{list: "2, 0", set: true}, 0},
		{"beyond the entries", three, 2, visibility{list: "2,0", set: true}, -1},
		{"none visible", three, 0, visibility{list: "", set: true}, -1},
		{"switched off", three, 0, visibility{list: "-1", set: true}, -1},
		{"behind an entry that is none", three, 1, visibility{list: "7,0", set: true}, -1},
		{"a UUID", three, 0, visibility{list: "GPU-aaaa2222-0000-0000-0000-000000000000", set: true}, 1},
		{"a UUID's beginning", three, 0, visibility{list: "GPU-bbbb", set: true}, 2},
		{"a beginning of two", three, 0, visibility{list: "GPU-aaaa", set: true}, -1},
		{"a stranger's UUID", three, 0, visibility{list: "GPU-cccc", set: true}, -1},
		{"a MIG device", three, 0, visibility{list: "MIG-aaaa1111", set: true}, -2},
		{"behind a MIG device", three, 1, visibility{list: "MIG-aaaa1111,0", set: true}, -2},
		{"a split GPU", split, 0, visibility{}, -2},
		{"GPUs that differ", different, 0, visibility{}, -2},
		{"GPUs that differ, by bus", different, 1, visibility{order: "PCI_BUS_ID"}, 1},
		{"GPUs that differ, by UUID", different, 0, visibility{list: "GPU-bbbb", set: true}, 2},
	} {
		d, err := open(c.path, c.ordinal, c.v)
		switch {
		case c.want < 0:
			if err == nil || errors.Is(err, ErrUnknown) != (c.want == -2) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		default:
			if got := int(*d.Sample().MemoryUsedBytes - 5000000000); got != c.want {
				t.Errorf("%s: device %d, want %d", c.name, got, c.want)
			}
			d.Close()
		}
	}
}

// TestThisMachine: the real library, where there is one.
func TestThisMachine(t *testing.T) {
	d, err := Open(0)
	if err != nil {
		if os.Getenv("SO8T_DEVICE") == "cuda" {
			t.Error(err)
		}
		t.Skip(err)
	}
	defer d.Close()
	s := d.Sample()
	t.Logf("%s, driver %s: %v", d.Name, d.Driver, figures(s))
	if s.MemoryTotalBytes == nil || s.MemoryUsedBytes == nil || *s.MemoryUsedBytes > *s.MemoryTotalBytes || *s.MemoryTotalBytes < 1<<30 {
		t.Errorf("memory: %v", figures(s))
	}
	if s.PowerWatts != nil && (*s.PowerWatts < 1 || *s.PowerWatts > 2000) || s.UtilizationPercent != nil && *s.UtilizationPercent > 100 {
		t.Errorf("power or utilisation: %v", figures(s))
	}
}
