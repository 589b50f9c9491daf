// Command worker is the program: run (the default) works on the tasks of a Temporal server, start submits a run and shows
// it, follow shows a run again, schedule starts one every night, data looks at input files, and serve answers with a
// promoted model.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // time zones of nightly runs, on machines without the package tzdata

	"github.com/alecthomas/kong"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"so8t/version"
	"so8t/worker/ask"
	"so8t/worker/audit"
	"so8t/worker/data"
	"so8t/worker/policy"
	"so8t/worker/schedule"
	"so8t/worker/serve"
	"so8t/worker/start"
)

var cli struct {
	Run      runCommand       `cmd:"" default:"withargs" help:"Work on the runs of a Temporal server (the default)."`
	Start    start.Command    `cmd:"" help:"Submit a run and show it. Ctrl-C leaves it running."`
	Follow   start.Follow     `cmd:"" help:"Show a run that is under way or has ended."`
	Schedule schedule.Command `cmd:"" help:"Have a run started every night; again with other flags, the schedule changes."`
	Data     data.Command     `cmd:"" help:"Say what a run would take of its data."`
	Policy   policy.Command   `cmd:"" help:"Try the rules of the data policy on lines of JSON."`
	Serve    serve.Command    `cmd:"" help:"Serve a promoted model: its answers, never its thinking."`
	Ask      ask.Command      `cmd:"" help:"Put questions to a server and print what it answers."`
	Keys     serve.Keys       `cmd:"" help:"API keys of a server."`
	Audit    audit.Command    `cmd:"" help:"Verify an audit log, and prove what is in it."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

const about = `Retrains Phi-3 models with QLoRA and SO(8) gates under Temporal.

The server is the one TEMPORAL_ADDRESS names (localhost:7233 without it); namespace, TLS and API key come from the other
TEMPORAL_* variables and from Temporal's profile file, as for the temporal command.`

func main() {
	command := kong.Parse(&cli, kong.Name("worker"), kong.Description(about), kong.UsageOnError(),
		kong.Vars{"version": version.Current().String()})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(start.Dial(func(ctx context.Context) (client.Client, error) {
		options, err := clientOptions(slog.New(slog.DiscardHandler)) // no log lines between those of the run
		if err != nil {
			return nil, err
		}
		c, err := client.DialContext(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("no Temporal server answers at %s: %w", options.HostPort, err)
		}
		return c, nil
	}))
	command.Bind(serve.Temporal(clientOptions))
	if err := command.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "worker:", err)
		var status interface{ ExitStatus() int }
		if errors.As(err, &status) {
			os.Exit(status.ExitStatus())
		}
		os.Exit(1)
	}
}

// clientOptions reads TEMPORAL_* and Temporal's profile file.
func clientOptions(logger *slog.Logger) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("read the Temporal client's configuration: %w", err)
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	options.Logger = log.NewStructuredLogger(logger)
	return options, nil
}
