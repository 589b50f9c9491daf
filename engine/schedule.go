package engine

import (
	"fmt"
	"math"

	"so8t/configs"
)

// Schedule gives the learning rate of each optimizer step, as transformers' get_scheduler does.
type Schedule struct {
	Name        string
	Base        float64
	WarmupSteps int
	TotalSteps  int
}

// Rate is the learning rate of optimizer step s, counted from 0.
func (sc Schedule) Rate(s int) (float64, error) {
	warm := float64(sc.WarmupSteps)
	rising := s < sc.WarmupSteps
	progress := (float64(s) - warm) / math.Max(1, float64(sc.TotalSteps)-warm)
	switch sc.Name {
	case "constant":
		return sc.Base, nil
	case "constant_with_warmup", "cosine", "linear":
		if rising {
			return sc.Base * float64(s) / math.Max(1, warm), nil
		}
	}
	switch sc.Name {
	case "constant_with_warmup":
		return sc.Base, nil
	case "linear":
		return sc.Base * math.Max(0, 1-progress), nil
	case "cosine":
		return sc.Base * math.Max(0, 0.5*(1+math.Cos(math.Pi*progress))), nil
	}
	return 0, fmt.Errorf("lr_scheduler_type: %q is not one of %v", sc.Name, configs.Schedules)
}
