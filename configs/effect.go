package configs

import (
	"fmt"
	"reflect"
	"slices"

	"so8t/device"
)

// Difference is a key that makes two configs train different weights, with the values of both.
type Difference struct{ Key, Theirs, Ours string }

// Differences lists the keys by which c and another config train different weights. on and otherOn are the devices that
// the two resolved to; zero where that is not known. It is empty if the two train the same weights, whatever their
// digests: a device may be named or found, and a key may be set to what it means anyway, or be without effect.
func (c *Config) Differences(on device.Device, other *Config, otherOn device.Device) []Difference {
	if on.IsZero() || otherOn.IsZero() { // then only their names can be compared
		on, otherOn = device.MustParse(c.Device), device.MustParse(other.Device)
	}
	ours, theirs := c.effective(on), other.effective(otherOn)
	list := differences(reflect.ValueOf(*c), reflect.ValueOf(*other), reflect.ValueOf(ours), reflect.ValueOf(theirs), "")
	for i := range list {
		if list[i].Key == "device" {
			list[i].Theirs, list[i].Ours = string(otherOn.Kind), string(on.Kind)
		}
	}
	return list
}

// effective is c with one spelling for all values that train the same weights.
func (c Config) effective(on device.Device) Config {
	c.Device = string(on.Kind)
	c.Data.MaxBadFraction, c.Data.MaxTooLongFraction = 0, 0 // they only refuse data
	t := &c.Training
	t.FP16, t.BF16 = !c.Float32(), !c.Float32()
	t.Optim = map[bool]string{false: "adamw_torch", true: "adamw_8bit"}[Optimizers[t.Optim]]
	if t.WarmupSteps > 0 {
		t.WarmupRatio = 0
	}
	if !c.SO8T.Enabled {
		c.SO8T.Layers = nil
	}
	p, standard := &c.Policy, Default().Policy
	if p.Robots == "off" {
		p.RobotsAgents, p.RobotsMaxAgeDays, p.ContentSignals = standard.RobotsAgents, standard.RobotsMaxAgeDays, standard.ContentSignals
	}
	if len(p.Licenses) == 0 {
		p.LicenseMissing = standard.LicenseMissing
	}
	if p.NearDuplicates == "off" {
		p.NearDuplicateThreshold = standard.NearDuplicateThreshold
	}
	return c
}

// differences compares the effective values and names those of the files.
func differences(ours, theirs, oursInEffect, theirsInEffect reflect.Value, at string) (list []Difference) {
	for i := range ours.NumField() {
		f := ours.Type().Field(i)
		x, y, xEffect, yEffect := ours.Field(i), theirs.Field(i), oursInEffect.Field(i), theirsInEffect.Field(i)
		key := at + name(f)
		switch {
		case slices.Contains([]string{decidesNothing, decidesVerdict}, f.Tag.Get("digest")):
		case x.Kind() == reflect.Struct:
			list = append(list, differences(x, y, xEffect, yEffect, key+".")...)
		case !equal(xEffect, yEffect) && (key == "device" || !equal(x, y)):
			list = append(list, Difference{key, fmt.Sprint(y), fmt.Sprint(x)})
		}
	}
	return list
}
