// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"moonfence.example/agent/moonfence"
)

const yaml = `version: 1
name: %s
file_rules:
  - name: secrets
    paths: ["/home/*/.ssh/**"]
    operations: [read]
    decision: deny
    message: "%s keeps keys closed"
  - name: keep
    paths: ["/workspace/**"]
    operations: [delete]
    decision: %s
  - name: rest
    paths: ["/workspace/**"]
    operations: ["*"]
    decision: allow
network_rules:
  - name: mirror
    domains: ["packages.example"]
    ports: [443]
    decision: allow
  - name: rest
    domains: ["*"]
    decision: deny
`

func write(t *testing.T, path, name, keep string) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, []byte(fmt.Sprintf(yaml, name, name, keep)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, event func([]byte)) (*Engine, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.yaml")
	write(t, path, "first", "deny")
	e, err := New(event, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, path
}

func TestDecisions(t *testing.T) {
	e, _ := open(t, nil)
	for _, c := range []struct{ path, op, want, rule string }{
		{"/home/me/.ssh/id_ed25519", "read", "deny", "secrets"},
		{"/workspace/a.go", "write", "allow", "rest"},
		{"/workspace/a.go", "delete", "deny", "keep"},
		{"relative", "read", "deny", "error"},
		{"/workspace/\x00", "read", "deny", "error"},
	} {
		d := e.CheckFile("s1", c.path, c.op)
		if d.EffectiveDecision != c.want || !strings.Contains(d.Rule, c.rule) {
			t.Errorf("%s %s: %+v", c.op, c.path, d)
		}
	}
	if d := e.CheckNetwork("s1", "packages.example", nil, 443); d.EffectiveDecision != "allow" {
		t.Errorf("%+v", d)
	}
	if d := e.CheckNetwork("s1", "other.example", net.ParseIP("192.0.2.7"), 443); d.EffectiveDecision != "deny" {
		t.Errorf("%+v", d)
	}
	if d := e.CheckFile("s1", "/home/me/.ssh/x", "read"); d.Message != "first keeps keys closed" {
		t.Errorf("%+v", d)
	}
}

func TestApproval(t *testing.T) {
	e, path := open(t, nil)
	write(t, path, "asking", "approve")
	if err := e.Reload(); err != nil {
		t.Fatal(err)
	}
	if d := e.CheckFile("s1", "/workspace/x", "delete"); d.PolicyDecision != "ask" || d.EffectiveDecision != "deny" {
		t.Errorf("nobody to ask: %+v", d)
	}
	e.Approve = func(q moonfence.Question, d Decision) bool { return q.Path == "/workspace/x" }
	if d := e.CheckFile("s1", "/workspace/x", "delete"); d.EffectiveDecision != "allow" {
		t.Errorf("%+v", d)
	}
	if d := e.CheckFile("s1", "/workspace/y", "delete"); d.EffectiveDecision != "deny" {
		t.Errorf("%+v", d)
	}
}

// Goroutines ask all the time; each answer is one policy's or the other's, and none goes back. Run it with -race.
func TestHotReload(t *testing.T) {
	var loaded atomic.Int64
	e, path := open(t, func(line []byte) {
		var event struct{ Type string }
		if err := json.Unmarshal(line, &event); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if event.Type == "policy_loaded" {
			loaded.Add(1)
		}
	})
	stop := make(chan struct{})
	var asked atomic.Int64
	var wg sync.WaitGroup
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			var last uint64
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				d := e.CheckFile(fmt.Sprint("s", i), fmt.Sprintf("/workspace/%d", n%100), "delete")
				want := "deny"
				if d.Generation%2 == 0 {
					want = "soft_delete"
				}
				if d.PolicyDecision != want || d.Generation < 1 {
					t.Errorf("generation %d: %+v", d.Generation, d)
					return
				}
				// A VM adopts what is new before its next decision; another one may have been asked before.
				if d.Generation+1 < last {
					t.Errorf("went back from %d to %d", last, d.Generation)
				}
				if d.Generation > last {
					last = d.Generation
				}
				asked.Add(1)
			}
		}(i)
	}
	const reloads = 20
	for i := 1; i <= reloads; i++ {
		if i%2 == 1 {
			write(t, path, "second", "soft_delete")
		} else {
			write(t, path, "first", "deny")
		}
		before := asked.Load()
		if err := e.Reload(); err != nil {
			t.Fatal(err)
		}
		for asked.Load() < before+50 && !t.Failed() { // they go on
			e.CheckFile("main", "/workspace/x", "read")
		}
	}
	// What does not load changes nothing.
	if err := os.WriteFile(path, []byte("version: 1\nname: broken\nfile_rules: [{nonsense: true}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := e.Reload()
	if err == nil || !strings.Contains(err.Error(), "agent.yaml:3") {
		t.Errorf("a broken policy: %v", err)
	}
	if e.Generation() != reloads+1 {
		t.Errorf("generation %d", e.Generation())
	}
	close(stop)
	wg.Wait()
	if n := loaded.Load(); n != reloads+1 {
		t.Errorf("%d events of loading", n)
	}
}

func TestWatch(t *testing.T) {
	e, path := open(t, nil)
	if err := e.Watch(); err != nil {
		t.Fatal(err)
	}
	write(t, path, "second", "soft_delete")
	for e.CheckFile("s", "/workspace/x", "delete").PolicyDecision != "soft_delete" {
	}
}

func TestClosed(t *testing.T) {
	e, _ := open(t, nil)
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for e.CheckFile("s", "/workspace/x", "write").Rule != "error" {
			}
		}()
	}
	e.Close()
	wg.Wait()
	if d := e.CheckFile("s", "/workspace/x", "write"); d.EffectiveDecision != "deny" || d.Message != moonfence.ErrClosed.Error() {
		t.Errorf("%+v", d)
	}
	if err := e.Reload(); err != moonfence.ErrClosed {
		t.Error(err)
	}
}

func BenchmarkCheckFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(fmt.Sprintf(yaml, "b", "b", "deny")), 0o600); err != nil {
		b.Fatal(err)
	}
	e, err := New(nil, path)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	for i := 0; i < b.N; i++ {
		e.CheckFile("s", "/workspace/x", "write")
	}
}
