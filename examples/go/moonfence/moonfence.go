// SPDX-License-Identifier: Apache-2.0

// Package moonfence is libmoonfence for Go: a Runtime that any goroutine may ask.
//
// A VM of the library belongs to one thread at a time, not to one thread: a Runtime has a few (one for each processor, unless
// said otherwise), and a question borrows one. Whoever finds none waits for one, so their number bounds memory and C threads.
// What a decision says is copied before its VM is given back. One question is one call through cgo.
package moonfence

/*
#cgo pkg-config: moonfence
#include <stdlib.h>
#include <string.h>
#include <moonfence/moonfence.h>

// Fields of a question, in C's memory for one call: Go's pointers are not kept by anybody.
struct question {
	enum mf_kind kind;
	const char *str[6]; // not terminated; NULL: not set
	size_t len[6];
	enum mf_field field[6];
	int64_t port; // 0: not set
};

static int ask(struct mf_vm *vm, struct mf_request *q, const struct question *a, struct mf_decision *d)
{
	d->size = sizeof(*d);
	mf_request_reset(q, a->kind);
	for (int i = 0; i < 6; i++) {
		char text[64];
		int r;

		if (!a->str[i])
			continue;
		if (a->field[i] == MF_F_IP) {
			if (a->len[i] >= sizeof(text))
				return MF_E_SYNTAX;
			memcpy(text, a->str[i], a->len[i]);
			text[a->len[i]] = '\0';
			r = mf_request_set_addr_text(q, MF_F_IP, text);
		} else {
			r = mf_request_set_str(q, a->field[i], a->str[i], a->len[i]);
		}
		if (r < 0)
			return r;
	}
	if (a->port) {
		int r = mf_request_set_int(q, MF_F_PORT, a->port);

		if (r < 0)
			return r;
	}
	mf_decide(vm, q, d); // fills d whatever it returns
	return 0;
}

extern void goMoonfenceEvent(void *ctx, char *json, size_t len);

static void on_event(void *ctx, const char *json, size_t len)
{
	goMoonfenceEvent(ctx, (char *)json, len);
}

static int make(uintptr_t handle, struct mf_runtime **rt, struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o), .event = handle ? on_event : NULL, .event_ctx = (void *)handle };

	return mf_runtime_new(&o, rt, err);
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// Kind of a question.
type Kind int

const (
	DNS     = Kind(C.MF_DNS)
	Connect = Kind(C.MF_CONNECT)
	File    = Kind(C.MF_FILE)
)

// Question: what is empty is not known.
type Question struct {
	Kind      Kind
	Name      string // DNS
	Host, IP  string // Connect
	Port      uint16
	Op, Path  string // File
	SessionID string
	Process   string // its name
}

// Decision: what may happen, and who says so.
type Decision struct {
	Verdict, Rule, Policy, Reason, Message, File string
	Line                                         int
	Audit                                        bool
	RedirectHost, PathTarget                     string
	RedirectPort                                 uint16
	Addrs                                        []string
	Generation                                   uint64
}

// Error of the library: Msg is a sentence, File and Line say where, if a policy is at fault.
type Error struct {
	Code int
	Msg  string
	File string
	Line uint
}

func (e *Error) Error() string {
	if e.File == "" {
		return e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

func failure(r C.int, err *C.struct_mf_err) error {
	if r >= 0 {
		return nil
	}
	return &Error{int(r), C.GoString(&err.msg[0]), C.GoString(&err.file[0]), uint(err.line)}
}

// ErrClosed is returned by questions to a Runtime that was closed.
var ErrClosed = errors.New("the runtime is closed")

type asker struct {
	vm *C.struct_mf_vm
	q  *C.struct_mf_request
}

// Runtime of the library. All methods may be called by any goroutine.
type Runtime struct {
	rt     *C.struct_mf_runtime
	askers chan asker
	handle cgo.Handle
	mu     sync.RWMutex // Close excludes the rest
	closed bool
}

// New loads policies (files or directories). event, which may be nil, is called from any thread with each JSON event.
func New(event func(json []byte), askers int, paths ...string) (*Runtime, error) {
	r := &Runtime{}
	var err C.struct_mf_err

	if askers <= 0 {
		askers = runtime.GOMAXPROCS(0)
	}
	r.askers = make(chan asker, askers)
	if event != nil {
		r.handle = cgo.NewHandle(event)
	}
	if rc := C.make(C.uintptr_t(r.handle), &r.rt, &err); rc < 0 {
		r.free()
		return nil, failure(rc, &err)
	}
	if e := r.load(paths); e != nil {
		r.free()
		return nil, e
	}
	for i := 0; i < askers; i++ {
		var a asker
		if rc := C.mf_vm_new(r.rt, &a.vm, &err); rc < 0 {
			r.free()
			return nil, failure(rc, &err)
		}
		a.q = C.mf_request_new(C.MF_DNS)
		r.askers <- a
		if a.q == nil {
			r.free()
			return nil, &Error{Code: int(C.MF_E_NOMEM), Msg: "out of memory"}
		}
	}
	return r, nil
}

func (r *Runtime) load(paths []string) error {
	var err C.struct_mf_err

	if len(paths) == 0 {
		return nil
	}
	list := C.malloc(C.size_t(len(paths)) * C.size_t(unsafe.Sizeof((*C.char)(nil))))
	defer C.free(list)
	texts := unsafe.Slice((**C.char)(list), len(paths))
	for i, p := range paths {
		texts[i] = C.CString(p)
		defer C.free(unsafe.Pointer(texts[i]))
	}
	return failure(C.mf_runtime_load(r.rt, (**C.char)(list), C.size_t(len(paths)), &err), &err)
}

// Reload reads the policies again: while it works, questions are answered by the ones before, and by these also afterwards
// if it fails.
func (r *Runtime) Reload() error {
	var err C.struct_mf_err

	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return ErrClosed
	}
	return failure(C.mf_runtime_reload(r.rt, &err), &err)
}

// Watch reloads by itself when files change.
func (r *Runtime) Watch() error {
	var err C.struct_mf_err

	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return ErrClosed
	}
	return failure(C.mf_runtime_watch(r.rt, 0, &err), &err)
}

// Generation counts the loads that succeeded.
func (r *Runtime) Generation() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return 0
	}
	return uint64(C.mf_runtime_generation(r.rt))
}

// Ask for a decision. An error is one of the question (or of ctx): a policy that fails decides by its fail mode.
func (r *Runtime) Ask(ctx context.Context, question Question) (Decision, error) {
	var a asker

	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return Decision{}, ErrClosed
	}
	select {
	case a = <-r.askers:
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	}
	defer func() { r.askers <- a }()
	return a.ask(&question)
}

func (a asker) ask(question *Question) (Decision, error) {
	// In C's memory, since it holds pointers: Go's may not be stored in what is passed to C.
	in := (*C.struct_question)(C.calloc(1, C.sizeof_struct_question))
	out := (*C.struct_mf_decision)(C.calloc(1, C.sizeof_struct_mf_decision))
	defer C.free(unsafe.Pointer(in))
	defer C.free(unsafe.Pointer(out))
	n := 0
	set := func(field C.enum_mf_field, text string) {
		if text == "" {
			return
		}
		in.str[n] = C.CString(text)
		in.len[n] = C.size_t(len(text))
		in.field[n] = field
		n++
	}
	in.kind = C.enum_mf_kind(question.Kind)
	set(C.MF_F_SESSION_ID, question.SessionID)
	set(C.MF_F_PROCESS_NAME, question.Process)
	switch question.Kind {
	case DNS:
		set(C.MF_F_NAME, question.Name)
	case Connect:
		set(C.MF_F_HOST, question.Host)
		set(C.MF_F_IP, question.IP)
		in.port = C.int64_t(question.Port)
	case File:
		set(C.MF_F_OP, question.Op)
		set(C.MF_F_PATH, question.Path)
	}
	rc := C.ask(a.vm, a.q, in, out)
	for i := 0; i < n; i++ {
		C.free(unsafe.Pointer(in.str[i]))
	}
	if rc < 0 {
		return Decision{}, &Error{Code: int(rc), Msg: C.GoString(C.mf_strerror(rc))}
	}
	return decision(out), nil
}

func decision(d *C.struct_mf_decision) Decision {
	out := Decision{
		Verdict:      C.GoString(C.mf_verdict_name(d.verdict)),
		Rule:         C.GoString(d.rule),
		Policy:       C.GoString(d.policy),
		Reason:       C.GoString(d.reason),
		Message:      C.GoString(d.message),
		File:         C.GoString(d.file),
		Line:         int(d.line),
		Audit:        bool(d.audit),
		RedirectHost: C.GoString(d.redirect_host),
		RedirectPort: uint16(d.redirect_port),
		PathTarget:   C.GoString(d.path_target),
		Generation:   uint64(d.generation),
	}
	for i := 0; i < int(d.addr_cnt); i++ {
		out.Addrs = append(out.Addrs, address(d.addrs[i]))
	}
	return out
}

// Close waits for the questions that are being answered. Later ones get ErrClosed.
func (r *Runtime) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.free()
	}
}

func (r *Runtime) free() {
	r.closed = true
	for len(r.askers) > 0 {
		a := <-r.askers
		C.mf_vm_free(a.vm)
		C.mf_request_free(a.q)
	}
	C.mf_runtime_free(r.rt)
	if r.handle != 0 {
		r.handle.Delete()
	}
}

func address(a C.struct_mf_addr_out) string {
	b := C.GoBytes(unsafe.Pointer(&a.bytes[0]), 16)
	if a.family == 4 {
		b = b[:4]
	}
	return net.IP(b).String()
}

//export goMoonfenceEvent
func goMoonfenceEvent(ctx unsafe.Pointer, json *C.char, length C.size_t) {
	event := cgo.Handle(uintptr(ctx)).Value().(func([]byte))
	event(C.GoBytes(unsafe.Pointer(json), C.int(length)))
}
