// SPDX-License-Identifier: Apache-2.0

// An agent's gate in Go: questions on standard input, a decision for each on standard output, policies that may be replaced
// while it runs (SIGHUP, or by itself when their files change).
//
//	agent POLICY...
//	file write /workspace/a.go        -> allow file_rules[3] rest
//	connect other.example 443         -> deny network_rules[2] rest
//	dns packages.example              -> allow ...
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"moonfence.example/agent/policy"
)

func answer(e *policy.Engine, line string) string {
	var kind, a, b string

	n, _ := fmt.Sscan(line, &kind, &a, &b)
	var d policy.Decision
	switch {
	case kind == "file" && n == 3:
		d = e.CheckFile("agent", b, a)
	case kind == "connect" && n == 3:
		port, err := strconv.ParseUint(b, 10, 16)
		if err != nil {
			return "error: " + err.Error()
		}
		d = e.CheckNetwork("agent", a, nil, uint16(port))
	case kind == "dns" && n == 2:
		d, _ = e.CheckDNS("agent", a)
	default:
		return "error: file OP PATH, connect HOST PORT, or dns NAME"
	}
	return fmt.Sprintf("%s %s", d.EffectiveDecision, d.Rule)
}

func main() {
	e, err := policy.New(nil, os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer e.Close()
	// The signal is the host's: the library takes none.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		for range hup {
			if err := e.Reload(); err != nil {
				fmt.Fprintln(os.Stderr, "policies stay as they are:", err)
			} else {
				fmt.Fprintln(os.Stderr, "reloaded")
			}
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Println(answer(e, in.Text()))
	}
}
