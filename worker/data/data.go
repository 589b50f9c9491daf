// Package data is the command that says what a run would take of its input files, and writes nothing.
package data

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"so8t/activities"
	"so8t/configs"
	"so8t/dataset"
	"so8t/dataset/source"
	"so8t/tokenizer"
)

// Command has the commands about data.
type Command struct {
	Check Check `cmd:"" help:"Say what a run would take of its data, and why not the rest. Writes nothing; exits 1 if a run would refuse the data."`
}

// Check reads what a run would read, under the same keys.
type Check struct {
	Files     []string `arg:"" optional:"" help:"Files or globs, instead of data.input_path. Paths are relative to this folder."`
	Config    string   `help:"The run's YAML; without it, every key has its default."`
	BaseModel string   `help:"Folder whose tokenizer and chat template count tokens, instead of model.base_model_path."`
	Set       []string `sep:"none" placeholder:"KEY=VALUE" help:"Override one key, as in data.format=messages or data.columns.output=answer. May be repeated."`
	JSON      bool     `name:"json" help:"Print report and manifest as JSON."`
}

// Result is what --json prints.
type Result struct {
	Report   *dataset.Report   `json:"report"`
	Manifest *dataset.Manifest `json:"manifest"`
	Refused  string            `json:"refused,omitempty"` // why a run would not take the data
}

// Run checks the data and prints what it found. The error is the one that a run would end with.
func (c *Check) Run(ctx context.Context) error { return c.run(ctx, os.Stdout, os.Stderr) }

func (c *Check) run(ctx context.Context, out, progress io.Writer) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	o, err := activities.SplitOptions(*config)
	if err != nil {
		return err
	}
	if o.Paths, err = source.Resolve(config.Data.InputPath, config.Data.Take); err != nil {
		return err
	}
	var withoutTokens string
	if o.Tokenizer, withoutTokens, err = c.tokenizer(config); err != nil {
		return err
	}
	o.Progress = meter(progress)
	m, r, refused := dataset.Check(ctx, o)
	o.Progress(1, 1)
	if r == nil {
		return refused
	}
	if c.JSON {
		result := Result{Report: r, Manifest: m}
		if refused != nil {
			result.Refused = refused.Error()
		}
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return errors.Join(e.Encode(result), refused)
	}
	s := screen{out: out, report: r, config: config, withoutTokens: withoutTokens}
	s.print()
	if refused == nil {
		_, err = fmt.Fprintln(out, "\na run would take these data")
	}
	return errors.Join(err, refused)
}

// config is the file's, or the defaults, under the flags.
func (c *Check) config() (*configs.Config, error) {
	set := map[string]any{}
	for _, text := range c.Set {
		key, value, err := configs.ParseSet(text)
		if err != nil {
			return nil, err
		}
		set[key] = value
	}
	if len(c.Files) > 0 {
		set["data.input_path"] = c.Files
	}
	if c.BaseModel != "" {
		set["model.base_model_path"] = c.BaseModel
	}
	if c.Config != "" {
		return configs.Load(c.Config, set)
	}
	if set["data.input_path"] == nil {
		return nil, errors.New("data check: name a file, or a run's YAML with --config")
	}
	for _, key := range []string{"output_dir", "model.base_model_path"} { // which a check does not read
		if set[key] == nil {
			set[key] = none
		}
	}
	return configs.Parse("flags", nil, set)
}

const none = "none" // stands for paths that must be set but are not needed

// tokenizer is the base model's; nil, and why, if there is none to read.
func (c *Check) tokenizer(config *configs.Config) (*tokenizer.Tokenizer, string, error) {
	dir := config.Model.BaseModelPath
	if c.Config == "" && c.BaseModel == "" && dir == none {
		return nil, "--base-model DIR counts them, and tries its chat template", nil
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && c.BaseModel == "" {
		return nil, "there is no " + dir + " here (model.base_model_path); --base-model DIR names another", nil
	}
	tok, err := tokenizer.Load(dir)
	return tok, "", err
}

// meter shows how far the reading is where a person looks on: by one line that is overwritten, and at last removed.
func meter(out io.Writer) func(read, size int64) {
	file, ok := out.(*os.File)
	if ok {
		info, err := file.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	last := int64(-1)
	return func(read, size int64) {
		percent := 100 * read / max(size, 1)
		switch {
		case !ok || percent == last:
		case percent >= 100:
			fmt.Fprint(out, "\r\x1b[K")
		default:
			fmt.Fprintf(out, "\r\x1b[Kreading: %d %%", percent)
		}
		last = percent
	}
}
