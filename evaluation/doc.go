// Package evaluation measures a model on the samples of the test part, compares two models on the same samples,
// and decides whether the second is promoted.
//
//	base, err := evaluation.Run(ctx, model, tokenizer, samples, options, session) // adapter off
//	retrained, err := evaluation.Run(…)                                           // adapter on
//	base.Save("evaluation/base.json")
//	result, err := evaluation.Compare(base, retrained, compareOptions)
//
// Package report shows the result to people.
//
// # How a sample is decided
//
// The model answers the prompt greedily. Its think-task is taken from that answer, and the context
// "<think-task>…</think-task><think-safety>decision: " is appended to the prompt, with the answer's own line breaks.
// The four labels, each with the token that closes it, are scored as continuations of that context. The closed
// labels exclude each other, so their probabilities are compared as they are: sums of log-probabilities, not
// normalised by length. Softmax over the four is the confidence, and the likeliest is the decision; a tie goes to
// the more cautious label.
//
// An answer without a closed think-task (a model that does not know the form, or that was cut
// off) gets one: the first Options.FallbackTokens tokens of what it wrote, without the form's
// tags. Figures.OwnThinkTaskRate is the share of answers that did not need it.
//
// Contexts and labels are tokenised as in training: context, label and what follows it as one text behind
// the assistant's header, divided only afterwards, at the longest common prefix of the four. A label
// tokenised alone would begin with another token than the same label behind a space.
//
// # Caveats
//
//   - Accuracy, F1 and the safety rates follow the scored decision; the decision written
//     in the answer has generated_accuracy and agreement_rate.
//   - Latency is that of an answer inside its batch, not of one generated alone.
//   - Leaked thinking is what quadruple.Filter, by which answers are served, had to cut: quadruple.Leaked.
package evaluation
