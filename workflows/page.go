package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"so8t/contract"
)

// view is the progress, completed with what only the workflow knows.
func (r *run) view() contract.Progress {
	p := r.progress
	p.Paused, p.Why, p.Stopping, p.Notes = r.paused, r.why, r.stopping, r.result.Notes
	return p
}

func (r *run) note(text string) { r.notes = append(r.notes, text) }

const newestNotes = 12 // on the page; the log has all

// page updates the run's page in the Web UI. Its pane clips the text, so what a person must know or do
// comes first, then figures, then what was reached.
func (r *run) page(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, r.markdown())
}

func (r *run) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.headline())
	p := r.progress
	if r.paused {
		p.GPU = nil // the run does not use it
	}
	if p.Step > 0 || p.GPU != nil {
		var rows [][2]string
		if p.Step > 0 {
			rows = append(rows, [2]string{"Epoch", fmt.Sprintf("%d of %d", p.Epoch, p.Epochs)}, [2]string{"Step", fmt.Sprintf("%d of %d", p.Step, p.Steps)})
		}
		if p.Phase == contract.PhaseTrain && p.Step > 0 {
			rows = append(rows, [2]string{"Loss", fmt.Sprintf("%.4f", p.Loss)})
			if p.ValLoss > 0 {
				rows = append(rows, [2]string{"Validation loss", fmt.Sprintf("%.4f", p.ValLoss)})
			}
			rows = append(rows,
				[2]string{"Tokens per second", fmt.Sprintf("%.0f", p.TokensPerSec)},
				[2]string{"Time left", r.timeLeft()})
			if p.Checkpoint != "" {
				rows = append(rows, [2]string{"Last checkpoint", fmt.Sprintf("`%s`, %s", p.Checkpoint, p.CheckpointAt.UTC().Format("15:04:05 UTC"))})
			}
		}
		if p.GPU != nil {
			rows = append(rows, [2]string{"GPU", load(p.GPU)})
		}
		b.WriteString("| | |\n|---|---|\n")
		for _, row := range rows {
			fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
		}
		b.WriteString("\n")
	}
	for _, note := range r.result.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	for i := len(r.notes) - 1; i >= max(0, len(r.notes)-newestNotes); i-- {
		fmt.Fprintf(&b, "- %s\n", r.notes[i])
	}
	if dir := r.claimed.Run.OutputDir; dir != "" {
		fmt.Fprintf(&b, "- output: `%s` on `%s`\n", dir, r.claimed.Run.Host)
	}
	return b.String()
}

// headline is the first line of the page: it must never be clipped.
func (r *run) headline() string {
	p := r.progress
	switch {
	case r.ended != nil:
		return "**Ended:** " + reason(r.ended)
	case p.Phase == contract.PhaseDone:
		if p.Verdict != "" {
			return fmt.Sprintf("**Done:** verdict **%s**", p.Verdict)
		}
		return "**Done**"
	case r.paused && r.why != "":
		return fmt.Sprintf("**Paused: %s** Mend it, then send the signal or update `resume`.", sentence(r.why))
	case r.paused && r.working:
		return "**Pausing:** saving the state"
	case r.paused:
		return "**Paused.** Send the signal or update `resume` to go on."
	case r.stopping && p.Phase == contract.PhaseTrain:
		return "**Stopping** after the present step; export and evaluation follow"
	case p.Phase == contract.PhaseTrain && p.Step > 0:
		return fmt.Sprintf("**Training:** epoch %d of %d, step %d of %d, loss %.4f, %.0f tokens/s, %s left",
			p.Epoch, p.Epochs, p.Step, p.Steps, p.Loss, p.TokensPerSec, roughly(p.SecondsLeft))
	case p.Total > 0:
		return fmt.Sprintf("**%s:** %s, %d of %d", title(p.Phase), p.Detail, p.Done, p.Total)
	default:
		return fmt.Sprintf("**%s:** %s", title(p.Phase), p.Detail)
	}
}

func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

func title(phase string) string {
	if phase == "" {
		return "Starting"
	}
	return strings.ToUpper(phase[:1]) + phase[1:]
}

// timeLeft describes the time left of training, and when it will end unless the run is paused.
func (r *run) timeLeft() string {
	p := r.progress
	if r.paused || p.At.IsZero() {
		return roughly(p.SecondsLeft)
	}
	end := p.At.Add(time.Duration(p.SecondsLeft * float64(time.Second)))
	return fmt.Sprintf("%s (training ends about %s)", roughly(p.SecondsLeft), end.UTC().Format("2006-01-02 15:04 UTC"))
}

// load describes the GPU's use.
func load(g *contract.GPU) string {
	const gib = 1 << 30
	text := fmt.Sprintf("%.1f of %.1f GiB", float64(g.MemoryUsedBytes)/gib, float64(g.MemoryTotalBytes)/gib)
	if g.UtilizationPercent != nil {
		text += fmt.Sprintf(", %d %% busy", *g.UtilizationPercent)
	}
	if g.PowerWatts != nil {
		text += fmt.Sprintf(", %d W", *g.PowerWatts)
	}
	return text
}

// roughly formats a duration in the unit that a person would use.
func roughly(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}
