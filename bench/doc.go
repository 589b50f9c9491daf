// Command bench measures this engine.
//
//	bench compare   a LoRA step of this engine and of PyTorch + PEFT by turns, the tokenizer, the machine's peak
//	bench cuda      the same on a GPU, at Phi-3.5-mini's size, with decoding and what a checkpoint costs
//	bench plan      the memory of a training run, by purpose, from its shape alone
//	bench full      a model of Phi-3.5-mini's size: load, two optimizer steps, peak memory
//	bench step      one measurement in this process, which the two above run as a child
//	bench stall     what training feels of a checkpoint; decode: tokens/s of generation; bandwidth: of the memory.
//	                Children of `bench cuda`
//	bench write     a model folder with random weights
//	bench tokens    the tokenizer's speed
//	bench score     log-probabilities of given tokens, for demo/verify_export.py
//
// Every command prints lines for people and, last, one line of JSON. run.sh and full.sh are the usual ways in.
package main
