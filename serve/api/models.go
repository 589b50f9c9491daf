package api

import (
	"errors"
	"net/http"

	"so8t/serve/escalation"
)

// model is the one model, as OpenAI's API describes it. It is called by its name, whichever digest is current.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // Unix seconds: when this server started
	OwnedBy string `json:"owned_by"`
	Digest  string `json:"digest,omitempty"`
}

func (s *Server) current() model {
	return model{ID: s.o.ModelName, Object: "model", Created: s.started.Unix(), OwnedBy: "so8t", Digest: s.o.Model()}
}

func (s *Server) models(x *exchange, _ string) *failure {
	x.reply(http.StatusOK, map[string]any{"object": "list", "data": []model{s.current()}})
	return nil
}

func (s *Server) model(x *exchange, id string) *failure {
	m := s.current()
	if id == "" || id != m.ID && id != m.Digest {
		return unknownModel()
	}
	x.reply(http.StatusOK, m)
	return nil
}

func (s *Server) escalation(x *exchange, id string) *failure {
	unknown := failed(http.StatusNotFound, invalidRequest, "escalation_not_found", "there is no such escalation of this key's requests")
	if s.o.Escalations == nil || id == "" || !keyName(id) {
		return unknown
	}
	status, err := s.o.Escalations.Status(x.request.Context(), x.key.Name, id)
	switch {
	case errors.Is(err, escalation.ErrUnknown):
		return unknown
	case err != nil:
		f := failed(http.StatusServiceUnavailable, serverError, "escalation_unavailable", "the state of the escalation cannot be read now")
		f.cause = causeOf(err)
		return f.after(retryUnavailable)
	}
	x.reply(http.StatusOK, status)
	return nil
}
