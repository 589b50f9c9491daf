// Package serve is the command that serves a promoted model. It builds the parts of a server and joins them; each is in a
// package of its own below serve/.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"go.temporal.io/sdk/client"

	"so8t/configs"
	"so8t/serve"
)

// Command serves a model until it is told to stop.
type Command struct {
	Model   string   `help:"Instead of serve.model: a model's folder, or the link to the promoted one, RUN/final_model/current."`
	Config  string   `help:"The server's YAML; configs/serving.go documents its keys. Without it, they have their defaults."`
	Address string   `placeholder:"HOST:PORT" help:"Instead of serve.address."`
	Set     []string `sep:"none" placeholder:"KEY=VALUE" help:"Override one key of the YAML, as in serve.slots=4. May be repeated."`
}

// Temporal is the client's configuration from the environment.
type Temporal func(*slog.Logger) (client.Options, error)

// Run serves until ctx ends, then lets answers under way end.
func (c *Command) Run(ctx context.Context, temporal Temporal) error {
	set, err := configs.Overrides(map[string]string{"serve.model": c.Model, "serve.address": c.Address}, c.Set)
	if err != nil {
		return err
	}
	config, err := configs.LoadServing(c.Config, set)
	if err != nil {
		return err
	}
	if err := serve.Harden(); err != nil {
		return err
	}
	p := &process{config: config, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	err = p.open(temporal)
	if err == nil {
		err = p.run(ctx)
	}
	return errors.Join(err, p.close())
}
