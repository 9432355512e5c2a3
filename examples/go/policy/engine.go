// SPDX-License-Identifier: Apache-2.0

// Package policy is a policy engine of the shape that agents have (agentsh's Check... functions), whose decisions come from
// libmoonfence. An Engine lives as long as the agent: a reload changes its policies in place, so that every holder of it
// (a shell, a filesystem, a proxy, sessions that run) is judged by the new ones from the next question on.
package policy

import (
	"context"
	"net"
	"time"

	"moonfence.example/agent/moonfence"
)

// Decision as agents act on it.
type Decision struct {
	PolicyDecision    string // what the policy says: allow, deny, ask, soft_delete, redirect, redirect_path, resolve
	EffectiveDecision string // what is done now: allow or deny
	Rule              string
	Message           string
	Redirect          string // host:port or path
	Generation        uint64
}

// Engine of one agent.
type Engine struct {
	rt *moonfence.Runtime
	// Approve is asked where a policy says ask (agentsh: approve); nil denies.
	Approve func(moonfence.Question, Decision) bool
	// Timeout of one question, waiting for a VM included.
	Timeout time.Duration
}

// New loads policies: agentsh's YAML, Lua, or directories of both.
func New(event func([]byte), paths ...string) (*Engine, error) {
	rt, err := moonfence.New(event, 0, paths...)
	if err != nil {
		return nil, err
	}
	return &Engine{rt: rt, Timeout: time.Second}, nil
}

func (e *Engine) Close() { e.rt.Close() }

// Reload reads the policies again; an error leaves those before in force.
func (e *Engine) Reload() error { return e.rt.Reload() }

// Watch reloads by itself.
func (e *Engine) Watch() error { return e.rt.Watch() }

func (e *Engine) Generation() uint64 { return e.rt.Generation() }

// CheckFile judges an operation ("read", "write", "create", "delete", ...) on an absolute path.
func (e *Engine) CheckFile(session, path, operation string) Decision {
	return e.decide(moonfence.Question{Kind: moonfence.File, SessionID: session, Path: path, Op: operation})
}

// CheckNetwork judges a connection; ip may be nil where only the name is known.
func (e *Engine) CheckNetwork(session, host string, ip net.IP, port uint16) Decision {
	q := moonfence.Question{Kind: moonfence.Connect, SessionID: session, Host: host, Port: port}
	if ip != nil {
		q.IP = ip.String()
	}
	return e.decide(q)
}

// CheckDNS judges a name that is to be resolved; the addresses are set where the policy answers itself.
func (e *Engine) CheckDNS(session, name string) (Decision, []string) {
	d, out := e.ask(moonfence.Question{Kind: moonfence.DNS, SessionID: session, Name: name})
	return out, d.Addrs
}

func (e *Engine) decide(q moonfence.Question) Decision {
	_, out := e.ask(q)
	return out
}

func (e *Engine) ask(q moonfence.Question) (moonfence.Decision, Decision) {
	ctx, cancel := context.WithTimeout(context.Background(), e.Timeout)
	defer cancel()
	d, err := e.rt.Ask(ctx, q)
	if err != nil {
		// What cannot be asked is denied: no engine, no time, no such path.
		return d, Decision{PolicyDecision: "deny", EffectiveDecision: "deny", Rule: "error", Message: err.Error()}
	}
	out := Decision{PolicyDecision: d.Verdict, EffectiveDecision: "allow", Rule: d.Rule, Message: d.Message, Generation: d.Generation}
	if out.Message == "" {
		out.Message = d.Reason
	}
	switch d.Verdict {
	case "deny":
		out.EffectiveDecision = "deny"
	case "ask":
		if e.Approve == nil || !e.Approve(q, out) {
			out.EffectiveDecision = "deny"
		}
	case "redirect":
		out.Redirect = d.RedirectHost
	case "redirect_path":
		out.Redirect = d.PathTarget
	}
	if d.Audit { // said, but not done
		out.EffectiveDecision = "allow"
	}
	return d, out
}
