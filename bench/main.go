package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands has one file each, named after it.
type commands struct {
	Compare     compareCommand     `cmd:"" help:"A LoRA step of this engine and of PyTorch + PEFT by turns, the tokenizer, the machine's peak."`
	Diff        diffCommand        `cmd:"" help:"Two results of compare, as a table of ratios."`
	Cuda        cudaCommand        `cmd:"" help:"The comparison on a GPU, at Phi-3.5-mini's size, with decoding and the cost of a checkpoint."`
	Full        fullCommand        `cmd:"" help:"A model of Phi-3.5-mini's size: load, optimizer steps, peak memory."`
	Export      exportCommand      `cmd:"" help:"A checkpoint exported: seconds, and memory beyond mapped files."`
	Estimate    estimateCommand    `cmd:"" help:"The time of a step and of decoding on a GPU, part by part; or what one measured beside it."`
	Plan        planCommand        `cmd:"" help:"The memory of a training run by purpose, from its shape alone."`
	Save        saveCommand        `cmd:"" help:"What a checkpoint costs the training, at the demo's size, and how long one of Phi-3.5-mini's size takes."`
	Step        stepCommand        `cmd:"" help:"LoRA steps in this process. A child of compare, cuda and full."`
	Stall       stallCommand       `cmd:"" help:"What a checkpoint costs the training of a given model. A child of cuda."`
	Decode      decodeCommand      `cmd:"" help:"Tokens/s of generation. A child of cuda and llama."`
	Llama       llamaCommand       `cmd:"" help:"Tokens/s of generation by this engine and by llama.cpp, by turns."`
	LlamaDecode llamaDecodeCommand `cmd:"" help:"Tokens/s of llama.cpp. A child of llama."`
	Bandwidth   bandwidthCommand   `cmd:"" help:"Bytes/s of the device's memory. A child of cuda."`
	Products    productsCommand    `cmd:"" help:"FLOP/s of this engine's matrix products. A child of compare."`
	Tokens      tokensCommand      `cmd:"" help:"MB/s of the tokenizer."`
	Split       splitCommand       `cmd:"" help:"MB/s of the split, with each number of threads, without and with the policy."`
	SplitOnce   splitOnceCommand   `cmd:"" help:"One split. A child of split."`
	Think       thinkCommand       `cmd:"" help:"A server under clients: what they lose and see, latency, tokens/s against generation alone, memory."`
	Score       scoreCommand       `cmd:"" help:"Log-probabilities of given tokens, for demo/verify_export.py."`
	Write       writeCommand       `cmd:"" help:"Write a model folder with random weights."`
}

const about = "Measures this engine. Every command prints lines for people and, last, one line of JSON."

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	parser, err := newParser(new(commands))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run()
}

func newParser(c *commands) (*kong.Kong, error) {
	return kong.New(c, kong.Name("bench"), kong.Description(about), kong.Vars{"shapes": strings.Join(shapeNames, ","), "cards": strings.Join(cardNames, ",")})
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
