package dataset

import (
	"errors"
	"strings"
	"testing"

	"so8t/dataset/record"
	"so8t/tokenizer"
)

const (
	turnHead = "{% for m in messages %}"
	turn     = "{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}"
	turnTail = "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)

// answers is a template that writes the assistant's turns by the expression.
func answers(expression string) string {
	return turnHead + "{% if m.role == 'assistant' %}{{ '<|assistant|>\n' + (" + expression + ") + '<|end|>\n' }}{% else %}" + turn +
		"{% endif %}" + turnTail
}

func questions(expression string) string {
	return turnHead + "{% if m.role != 'assistant' %}{{ '<|' + m.role + '|>\n' + (" + expression + ") + '<|end|>\n' }}{% else %}" + turn +
		"{% endif %}" + turnTail
}

func say(role, content string) tokenizer.Message {
	return tokenizer.Message{Role: role, Content: content}
}

// A template that writes no system turn, or loses or moves another turn, is refused (transformers#30545, torchtune#1774,
// llama-cpp-python#1383).
func TestCase4LostTurns(t *testing.T) { templateFaults(t, 4) }

// A template is asked only for what the data need: one that raises on a system turn trains data without one
// (alignment-handbook#101, transformers#28366).
func TestCase5OnlyWhatTheDataNeed(t *testing.T) { templateFaults(t, 5) }

// A template that trains on something else than the record's answer is refused (gem#44, ms-swift#4939).
func TestCase6ChangedAnswers(t *testing.T) { templateFaults(t, 6) }

// Generation blocks, macros and strftime_now train (trl#5526).
func TestCase8Generation(t *testing.T) { templateFaults(t, 8) }

// An answer that no token ends is refused: training and evaluation would disagree on its end (transformers#31336).
func TestCase9NothingEndsTheAnswer(t *testing.T) { templateFaults(t, 9) }

// templateFaults renders records by templates that lose or change part of them, which are refused in one line that says
// which part, and by such as do nothing to the records there are, which train.
func templateFaults(t *testing.T, number int) {
	short := ofTurns(say("user", "Where?"), say("assistant", "Here."))
	system := ofTurns(say("system", "Rules"), say("user", "Where?"), say("assistant", "Here."))
	long := ofTurns(say("user", strings.Repeat("機密情報 ", 100)), say("assistant", strings.Repeat("お答えできません。", 100)))
	talk := ofTurns(say("user", "One"), say("assistant", "<think>why</think>Two"), say("user", "Three"), say("assistant", "Four"))
	noSystem := turnHead + "{% if m.role != 'system' %}" + turn + "{% endif %}" + turnTail
	raising := turnHead + "{% if m.role == 'system' %}{{ raise_exception('System role\nnot supported') }}{% endif %}" + turn + turnTail
	alternate := turnHead + "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}" +
		turn + turnTail
	lastOnly := "{% for m in messages %}{% if m.role == 'system' or loop.last or loop.index0 == loop.length - 2 %}" + turn + "{% endif %}" + turnTail
	twice := questions("m.content + '\n' + m.content")
	reversed := "{% for m in messages|reverse %}" + turn + turnTail
	for _, c := range []struct {
		number         int // of the public report
		name, template string
		record         record.Record
		want           string // "": a sample
	}{
		{5, "no system turn, none in the data", noSystem, short, ""},
		{4, "no system turn", noSystem, system, "the system turn is not written"},
		{4, "system turn that stands in the question", noSystem, ofTurns(say("system", "here"), say("user", "Where is it, here?"), say("assistant", "x")),
			"the system turn is not written"},
		{4, "system turn behind the question", "{% for m in messages if m.role == 'user' %}" + turn +
			"{% endfor %}{% for m in messages if m.role != 'user' %}" + turn + turnTail, system, "the user's turn is written out of order"},
		{5, "raises on a system turn, none in the data", raising, short, ""},
		{5, "raises on a system turn", raising, system, "System role not supported"},
		{5, "demands alternation", alternate, talk, ""},
		{5, "demands alternation and meets a system turn", alternate, system, "roles must alternate"},
		{5, "demands alternation and meets two users", alternate,
			ofTurns(say("user", "a"), say("user", "b"), say("assistant", "c")), "roles must alternate"},
		{6, "answer behind a tag", answers("m.content.split('</think-policy>')[-1]"), short, "the answer is changed or written in part"},
		{6, "answer in lower case", answers("m.content | lower"), short, "the answer is changed or written in part"},
		{6, "answer without its tags", answers("m.content | replace('<final>', '')"), short, "the answer is changed or written in part"},
		{4, "question in lower case", questions("m.content | lower"), short, "the user's turn is changed or written in part"},
		{5, "question in lower case that has none", questions("m.content | lower"), ofTurns(say("user", "どこ?"), say("assistant", "Here.")), ""},
		{6, "no answer", answers("''"), short, "the answer is not written"},
		{6, "answers cut to 200", answers("m.content[:200]"), short, ""},
		{6, "answer cut to 200", answers("m.content[:200]"), long, "the answer is changed or written in part"},
		{4, "question cut to 200", questions("m.content[:200]"), long, "the user's turn is changed or written in part"},
		{5, "question cut to 20", questions("m.content[:20]"), short, ""},
		{5, "white space at the ends", questions("m.content | trim"), ofTurns(say("user", " a \n"), say("assistant", "b")), ""},
		{4, "question escaped", questions("m.content | escape"), ofTurns(say("user", "a < b"), say("assistant", "c")),
			"the user's turn is changed or written in part"},
		{4, "question written twice", twice, short, "the user's turn is written more than once"},
		{4, "history dropped", lastOnly, talk, "turns[0] (user) is not written"},
		{5, "history dropped, none in the data", lastOnly, system, ""},
		{6, "earlier thinking stripped", answers("m.content if loop.last else m.content.split('</think>')[-1]"), talk,
			"turns[1] (assistant) is changed or written in part"},
		{4, "reversed", reversed, short, "out of order"},
		{8, "macro, generation and the date", "{% macro t(m) %}" + turn + "{% endmacro %}{{ strftime_now('%Y') }}" + turnHead +
			"{% if m.role == 'assistant' %}{% generation %}{{ t(m) }}{% endgeneration %}{% else %}{{ t(m) }}{% endif %}" + turnTail, talk, ""},
		{8, "generation of nothing", turnHead + turn + "{% generation %}{% endgeneration %}" + turnTail, short, "no token of the answer is between"},
		{9, "no end", turnHead + "{{ '<|' + m.role + '|>\n' + m.content + '\n' }}" + turnTail, short, "nothing ends the answer"},
		{4, "other prompt", "{% if add_generation_prompt %}x{% endif %}" + turnHead + turn + "{% endfor %}", short,
			"does not begin with the prompt of the answer"},
		{5, "raises always", "{{ raise_exception('never') }}", short, "never"},
	} {
		if c.number != number {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			d, err := newRenderer(withTemplate(t, fallback, c.template), renderOptions{FourClass: true, Thinking: true, Files: []string{"in.jsonl"}})
			if err == nil {
				c.record.FourClassLabel = "ALLOW"
				_, err = d.sample(&c.record)
				if err != nil && !strings.HasPrefix(err.Error(), "in.jsonl: line 7: ") {
					t.Errorf("%v does not name the record", err)
				}
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			var input *InputError
			if err != nil && (!errors.As(err, &input) || strings.ContainsAny(err.Error(), "\r\n")) {
				t.Errorf("%T %q", err, err)
			}
		})
	}
}

// Every answer that is trained must end, and begin behind its prompt.
func TestFaultsOfEveryTurn(t *testing.T) {
	talk := ofTurns(say("user", "One"), say("assistant", "Two"), say("user", "Three"), say("assistant", "Four"))
	last := answers("m.content if loop.last else m.content + '\n'")
	open := strings.Replace(last, "'<|end|>\n' }}{% else %}", "('<|end|>\n' if loop.last else '') }}{% else %}", 1)
	later := turnHead + "{% if m.role == 'assistant' and not loop.last %}{{ '<|assistant|>\n\n' + m.content + '<|end|>\n' }}{% else %}" +
		turn + "{% endif %}" + turnTail
	for _, c := range []struct{ name, template, trainOn, want string }{
		{"ended", last, "assistant", ""},
		{"open, only the last is trained", open, "last", ""},
		{"open", open, "assistant", "nothing ends turns[1] (assistant)"},
		{"the head goes on", later, "assistant", ""},
		{"another head", strings.Replace(later, "<|assistant|>\n\n", "<|user|>", 1), "assistant", "does not begin with the prompt of turns[1] (assistant)"},
	} {
		d, err := newRenderer(withTemplate(t, fallback, c.template), renderOptions{TrainOn: c.trainOn})
		if err == nil {
			_, err = d.sample(&talk)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
