// Package quadruple is the form in which a model thinks and answers:
//
//	<think-task>…</think-task><think-safety>decision: LABEL
//	…</think-safety><think-policy>…</think-policy><final>…</final>
//
// Its labels, tags and decision line are defined here alone, for the dataset that teaches the form, the
// evaluation that measures it, and whatever serves a model: only what stands inside <final> may leave the process.
//
// Parse and Split read a finished text strictly, String writes one. Task, CutDecision and Written find what
// there is of the form in a text that may be malformed. Stream reads an answer while it is generated.
//
// Two rules judge a final section. Leaked measures answers for the evaluation's leak rate: it reads to the last
// </final> and knows exact tags only. Stream guards what leaves: it reads to the first </final> and also stops at
// look-alikes of tags (full-width, other case, zero-width characters, entities). Stream is the stricter one.
package quadruple
