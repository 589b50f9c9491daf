package escalation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"go.temporal.io/sdk/activity"

	"so8t/contract"
	"so8t/serve/audit"
)

// RecordDecision is the activity of that name: it writes a decision to the audit log, once. An attempt before it may have
// been killed between the record and its answer, so that a later one first looks whether the record is there.
func (d *Desk) RecordDecision(ctx context.Context, in contract.RecordDecisionInput) (contract.RecordDecisionResult, error) {
	d.recording.Lock()
	defer d.recording.Unlock()
	info := activity.GetInfo(ctx)
	decided := audit.Decided{ID: in.RequestID, Escalation: info.WorkflowExecution.ID, Decision: in.Decision.Decision, By: in.By,
		NoteHash: NoteHash(in.RequestID, in.Note), At: in.At}
	if info.Attempt > 1 {
		at, found, err := audit.FindDecided(d.options.AuditDir, decided)
		if err != nil || found {
			return contract.RecordDecisionResult{Seq: at.Seq, Hash: at.Hash}, err
		}
	}
	at, err := d.options.Recorder.Decided(ctx, decided)
	return contract.RecordDecisionResult{Seq: at.Seq, Hash: at.Hash}, err
}

// NoteHash is what the audit log holds of a note: the SHA-256 of the request's id, a zero byte, and the note. It is empty if
// there is no note.
func NoteHash(requestID, note string) string {
	if note == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(requestID + "\x00" + note))
	return "sha256:" + hex.EncodeToString(sum[:])
}
