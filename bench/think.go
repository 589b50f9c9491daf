package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"so8t/dataset"
	"so8t/dataset/record"
	"so8t/device"
	"so8t/engine"
	"so8t/quadruple"
	"so8t/tokenizer"
)

// thinkCommand loads a server with clients that ask without a pause, and checks and times every answer.
type thinkCommand struct {
	Worker   string        `default:"bin/worker" help:"The program; its command serve runs as a child."`
	URL      string        `name:"url" help:"A server that runs already, instead of a child. --model must be the one that it serves."`
	Model    string        `default:"demo/base" help:"Model folder."`
	Data     string        `default:"demo/data/four_class_demo.jsonl" help:"Records: their instructions are asked, their thinking must not be seen."`
	Clients  int           `default:"200"`
	Slots    int           `default:"16" help:"Answers generated at once."`
	Threads  int           `help:"0: all."`
	New      int           `default:"200" help:"The most tokens of an answer."`
	Duration time.Duration `default:"10m"`
	Turn     time.Duration `default:"20s" help:"After each turn of serving, the same model generates alone for a quarter of that time."`
	Abandon  float64       `default:"0.02" help:"Share of the requests whose client goes away before the answer ends."`
	Promote  string        `help:"Another model folder: the link that the server follows moves between both, and nothing generates alone."`
	Every    time.Duration `default:"3s" help:"Between two moves of the link."`
}

// thinkResult is what the clients saw.
type thinkResult struct {
	Machine    machine        `json:"machine"`
	Clients    int            `json:"clients"`
	Seconds    float64        `json:"seconds"` // of serving
	Requests   int            `json:"requests"`
	Abandoned  int            `json:"abandoned"` // by their clients
	Lost       int            `json:"lost"`      // without a whole answer, abandoned ones aside
	Losses     map[string]int `json:"losses,omitempty"`
	Leaks      int            `json:"leaks"` // answers that show thinking
	Fallbacks  int            `json:"fallbacks"`
	Models     map[string]int `json:"models"`        // answers by digest
	First      quantiles      `json:"first_visible"` // seconds until the first visible byte of a streamed answer
	End        quantiles      `json:"end"`           // seconds until the end of any
	Served     float64        `json:"tokens_per_second"`
	Generated  float64        `json:"generate_tokens_per_second,omitempty"` // by Model.Generate, as many sequences at once, by turns
	Ratio      float64        `json:"ratio,omitempty"`                      // median of the turns'
	RatioCPU   float64        `json:"ratio_a_core,omitempty"`               // the same of tokens a second of processor time
	ServerCPU  float64        `json:"server_cores,omitempty"`               // used on average
	ClientsCPU float64        `json:"clients_cores"`
	Memory     *memoryCurve   `json:"memory,omitempty"` // of the child
	Promotions int            `json:"promotions,omitempty"`
}

// Run prints a thinkResult.
func (c *thinkCommand) Run(ctx context.Context) error {
	questions, secrets, err := readQuestions(c.Data)
	if err != nil {
		return err
	}
	alone, err := c.openAlone(ctx, questions)
	if err != nil {
		return err
	}
	defer alone.model.Close()
	server, err := c.startServer(ctx)
	if err != nil {
		return err
	}
	load := newLoad(c, server.url, questions, secrets)
	result, err := c.measure(ctx, server, load, alone)
	if err := errors.Join(err, server.stop()); err != nil {
		return err
	}
	if result.Machine, err = thisMachine(); err != nil {
		return err
	}
	fmt.Print(result)
	return printJSON(result)
}

// spell is what a turn gave.
type spell struct{ seconds, tokens, cpu, clientsCPU float64 }

func (s spell) speed() float64 { return s.tokens / s.seconds }

// measure serves and generates by turns until the time is up.
func (c *thinkCommand) measure(ctx context.Context, server *thinkServer, load *load, alone *generator) (r thinkResult, err error) {
	r.Clients = c.Clients
	var served, generated, ratios, ratiosCPU []float64
	var sum spell
	for end := time.Now().Add(c.Duration); time.Now().Before(end); {
		s, err := c.serveOnce(ctx, server, load)
		if err != nil {
			return r, err
		}
		sum = spell{sum.seconds + s.seconds, sum.tokens + s.tokens, sum.cpu + s.cpu, sum.clientsCPU + s.clientsCPU}
		served = append(served, s.speed())
		if c.Promote != "" {
			continue
		}
		g, err := alone.run(ctx, c.Turn/4)
		if err != nil {
			return r, err
		}
		generated, ratios = append(generated, g.speed()), append(ratios, s.speed()/g.speed())
		if s.cpu > 0 {
			ratiosCPU = append(ratiosCPU, s.tokens/s.cpu/(g.tokens/g.cpu))
		}
		fmt.Printf("turn %d: served %.0f tokens/s, Generate %.0f, ratio %.3f\n", len(served), s.speed(), g.speed(), s.speed()/g.speed())
	}
	r.Seconds, r.Served, r.Generated = sum.seconds, median(served), median(generated)
	r.Ratio, r.RatioCPU = median(ratios), median(ratiosCPU)
	r.ServerCPU, r.ClientsCPU = sum.cpu/sum.seconds, sum.clientsCPU/sum.seconds
	r.Memory, r.Promotions = server.memory(), server.promotions
	load.into(&r)
	return r, nil
}

// serveOnce lets the clients ask for a turn, and moves the link meanwhile.
func (c *thinkCommand) serveOnce(ctx context.Context, server *thinkServer, load *load) (s spell, err error) {
	turn, stop := context.WithTimeout(ctx, c.Turn)
	defer stop()
	moved := make(chan error, 1)
	go func() { moved <- server.moveLink(turn, c.Every) }()
	cpu, own, start := server.cpu(), ownCPUSeconds(), time.Now()
	s.tokens = load.run(turn)
	s.seconds, s.cpu, s.clientsCPU = time.Since(start).Seconds(), server.cpu()-cpu, ownCPUSeconds()-own
	return s, errors.Join(<-moved, ctx.Err())
}

// question is what is asked, and how many tokens its answer has where it was generated alone.
type question struct {
	text   string
	tokens int
}

// readQuestions returns the records' prompts, and the sentences of their thinking that no answer of theirs holds.
func readQuestions(path string) (questions []*question, secrets []string, err error) {
	records, err := demoRecords(path)
	if err != nil {
		return nil, nil, err
	}
	var finals strings.Builder
	seen := map[string]bool{}
	for _, r := range records {
		turns := dataset.Prompt(r)
		questions = append(questions, &question{text: turns[len(turns)-1].Content})
		q, ok := quadruple.Parse(r.Output)
		if !ok {
			continue
		}
		fmt.Fprintln(&finals, questions[len(questions)-1].text, q.Final)
		for _, sentence := range strings.FieldsFunc(q.Task+"\n"+q.Safety+"\n"+q.Policy, func(c rune) bool { return c == '\n' || c == '。' }) {
			seen[strings.TrimSpace(sentence)] = true
		}
	}
	for sentence := range seen {
		if len([]rune(sentence)) >= 6 && !strings.Contains(finals.String(), sentence) {
			secrets = append(secrets, sentence)
		}
	}
	if len(questions) == 0 || len(secrets) == 0 {
		return nil, nil, fmt.Errorf("%s: %d records with %d sentences of thinking", path, len(questions), len(secrets))
	}
	return questions, secrets, nil
}

// generator is the same model in this process, which generates with nobody between.
type generator struct {
	model   *engine.Model
	options engine.GenerateOptions
	prompts [][]int32
	next    int
}

// openAlone opens the model and has it answer every question once.
func (c *thinkCommand) openAlone(ctx context.Context, questions []*question) (g *generator, err error) {
	tok, err := tokenizer.Load(c.Model)
	if err != nil {
		return nil, err
	}
	ends, err := tok.EndTokens()
	if err != nil {
		return nil, err
	}
	g = &generator{options: engine.GenerateOptions{MaxNewTokens: c.New, BatchSize: c.Slots, EOS: ends}}
	longest := 0
	for _, q := range questions {
		text, err := tok.ApplyChatTemplate([]tokenizer.Message{{Role: "user", Content: q.text}}, true)
		if err != nil {
			return nil, err
		}
		g.prompts = append(g.prompts, tok.Encode(text))
		longest = max(longest, len(g.prompts[len(g.prompts)-1]))
	}
	length := longest + c.New
	g.model, err = engine.Open(ctx, engine.Options{BasePath: c.Model, Device: device.Device{Kind: device.CPU}, Threads: c.Threads, Int8: true,
		MaxTokens: max(length, c.Slots), MaxLength: length})
	if err != nil {
		return nil, err
	}
	answers, err := g.model.Generate(ctx, g.prompts, g.options)
	if err != nil {
		return nil, errors.Join(err, g.model.Close())
	}
	for i, a := range answers {
		questions[i].tokens = len(a.Tokens)
	}
	return g, nil
}

// run generates for about so long.
func (g *generator) run(ctx context.Context, about time.Duration) (s spell, err error) {
	const atOnce = 400 // prompts of one call: many times the slots, as in serving
	cpu, start := ownCPUSeconds(), time.Now()
	for time.Since(start) < about {
		prompts := make([][]int32, atOnce)
		for i := range prompts {
			prompts[i], g.next = g.prompts[g.next%len(g.prompts)], g.next+1
		}
		answers, err := g.model.Generate(ctx, prompts, g.options)
		if err != nil {
			return s, err
		}
		for _, a := range answers {
			s.tokens += float64(len(a.Tokens))
		}
	}
	s.seconds, s.cpu = time.Since(start).Seconds(), ownCPUSeconds()-cpu
	return s, nil
}

// demoRecords reads JSON lines.
func demoRecords(path string) (records []record.Record, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		var r record.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", filepath.Base(path), len(records)+1, err)
		}
		records = append(records, r)
	}
	return records, nil
}
