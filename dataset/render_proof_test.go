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

// A template that loses or changes part of a record is refused, in one line that says which; one that does nothing to
// the records there are trains.
func TestTemplateFaults(t *testing.T) {
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
		name, template string
		record         record.Record
		want           string // "": a sample
	}{
		{"no system turn, none in the data", noSystem, short, ""},
		{"no system turn", noSystem, system, "the system turn is not written"},
		{"system turn that stands in the question", noSystem, ofTurns(say("system", "here"), say("user", "Where is it, here?"), say("assistant", "x")),
			"the system turn is not written"},
		{"system turn behind the question", "{% for m in messages if m.role == 'user' %}" + turn +
			"{% endfor %}{% for m in messages if m.role != 'user' %}" + turn + turnTail, system, "the user's turn is written out of order"},
		{"raises on a system turn, none in the data", raising, short, ""},
		{"raises on a system turn", raising, system, "System role not supported"},
		{"demands alternation", alternate, talk, ""},
		{"demands alternation and meets a system turn", alternate, system, "roles must alternate"},
		{"demands alternation and meets two users", alternate,
			ofTurns(say("user", "a"), say("user", "b"), say("assistant", "c")), "roles must alternate"},
		{"answer behind a tag", answers("m.content.split('</think-policy>')[-1]"), short, "the answer is changed or written in part"},
		{"answer in lower case", answers("m.content | lower"), short, "the answer is changed or written in part"},
		{"answer without its tags", answers("m.content | replace('<final>', '')"), short, "the answer is changed or written in part"},
		{"question in lower case", questions("m.content | lower"), short, "the user's turn is changed or written in part"},
		{"question in lower case that has none", questions("m.content | lower"), ofTurns(say("user", "どこ?"), say("assistant", "Here.")), ""},
		{"no answer", answers("''"), short, "the answer is not written"},
		{"answers cut to 200", answers("m.content[:200]"), short, ""},
		{"answer cut to 200", answers("m.content[:200]"), long, "the answer is changed or written in part"},
		{"question cut to 200", questions("m.content[:200]"), long, "the user's turn is changed or written in part"},
		{"question cut to 20", questions("m.content[:20]"), short, ""},
		{"white space at the ends", questions("m.content | trim"), ofTurns(say("user", " a \n"), say("assistant", "b")), ""},
		{"question escaped", questions("m.content | escape"), ofTurns(say("user", "a < b"), say("assistant", "c")),
			"the user's turn is changed or written in part"},
		{"question written twice", twice, short, "the user's turn is written more than once"},
		{"history dropped", lastOnly, talk, "turns[0] (user) is not written"},
		{"history dropped, none in the data", lastOnly, system, ""},
		{"earlier thinking stripped", answers("m.content if loop.last else m.content.split('</think>')[-1]"), talk,
			"turns[1] (assistant) is changed or written in part"},
		{"reversed", reversed, short, "out of order"},
		{"no end", turnHead + "{{ '<|' + m.role + '|>\n' + m.content + '\n' }}" + turnTail, short, "nothing ends the answer"},
		{"other prompt", "{% if add_generation_prompt %}x{% endif %}" + turnHead + turn + "{% endfor %}", short,
			"does not begin with the prompt of the answer"},
		{"raises always", "{{ raise_exception('never') }}", short, "never"},
	} {
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
