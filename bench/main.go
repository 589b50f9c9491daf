package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, []string) error{"compare": compare, "export": exportBench, "cuda": cuda, "stall": stall, "decode": decode, "bandwidth": bandwidth, "full": full, "plan": plan, "step": step, "write": write, "save": save, "score": score, "tokens": tokens}
	if len(args) == 0 || commands[args[0]] == nil {
		return errors.New("usage: bench compare|cuda|export|full|plan|step|stall|decode|bandwidth|write|save|score|tokens [flags]")
	}
	return commands[args[0]](ctx, args[1:])
}

// exportBench is `bench export`.
func exportBench(ctx context.Context, args []string) error {
	var c exportCommand
	parser, err := kong.New(&c, kong.Vars{"shapes": strings.Join(slices.Sorted(maps.Keys(shapes)), ",")})
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return err
	}
	return c.Run(ctx)
}

// printJSON writes v as one line on the standard output.
func printJSON(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}
