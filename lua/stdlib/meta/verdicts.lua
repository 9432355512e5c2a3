-- SPDX-License-Identifier: Apache-2.0
---@meta
-- Verdicts: what a hook answers

---What may happen. A hook returns one, or nothing when it has no opinion; then the next policy is asked, and at last the
---default of the kind.
---@class moonfence.Verdict

---What every verdict takes besides its own parameters.
---@class moonfence.VerdictOptions
---@field reason string? Why, in the author's words: stands in events, in `explain`, and in what the program is told.
---@field message string? For the person at the terminal.
---@field visibility "audit_only"|"silent"|"warn"? `audit_only` (the default): an event. `warn`: an event and a line for the person. `silent`: neither.
local VerdictOptions = {}

---@class moonfence.DenyOptions: moonfence.VerdictOptions
---@field rcode "NOERROR"|"FORMERR"|"SERVFAIL"|"NXDOMAIN"|"NOTIMP"|"REFUSED"|string? dns: response code, `REFUSED` by default; `NOERROR` answers "no such record".
---@field errno string|integer? file: error of the operation, `EACCES` by default.
local DenyOptions = {}

---@class moonfence.ResolveOptions: moonfence.VerdictOptions
---@field [integer] string Addresses, both families as you like.
---@field ttl integer? Seconds that the answer may be kept, 60 by default.
---@field cname string? Answer with this name; either this or addresses.
local ResolveOptions = {}

---@class moonfence.RedirectOptions: moonfence.VerdictOptions
---@field to string? `host:port` to dial instead; IPv6 in brackets.
---@field unix string? Unix socket to dial instead; either this or `to`.
---@field tls "passthrough"|"rewrite_sni"? Whether the server name in the ClientHello is replaced by `sni`.
---@field sni string? Server name for `rewrite_sni`.
---@field on_failure "fail_closed"|"fail_open"|"retry_original"? When the target cannot be dialled: end the connection (the default), or dial where the program meant to go.
local RedirectOptions = {}

---@class moonfence.SoftDeleteOptions: moonfence.VerdictOptions
---@field hash boolean? Keep the content's SHA-256 with it, so that a restore can be verified.
local SoftDeleteOptions = {}

---@class moonfence.RedirectPathOptions: moonfence.VerdictOptions
---@field target string Absolute path to act on instead.
---@field cow boolean? What is there stays as it is; the first write copies it to `target`, and from then on the copy is seen.
local RedirectPathOptions = {}

---Let it happen. Carried by every kind.
---@param options string|moonfence.VerdictOptions|nil A reason, or a table.
---@return moonfence.Verdict
function allow(options) end

---Refuse it. Carried by every kind; the program is told at once (DNS response, TCP reset, TLS alert, errno).
---@param reason string|moonfence.DenyOptions|nil A reason, or a table.
---@return moonfence.Verdict
function deny(reason) end

---Answer with these addresses instead of asking a resolver. For `dns`.
---@param options string|moonfence.ResolveOptions An address, or a table of them.
---@return moonfence.Verdict
function resolve(options) end

---Dial something else than the program meant to. For `connect` and `sni`.
---@param options string|moonfence.RedirectOptions `host:port`, or a table.
---@return moonfence.Verdict
function redirect(options) end

---@class moonfence.RouteOptions: moonfence.VerdictOptions
---@field to string `host:port` to dial.
---@field on_failure "fail_closed"|"fail_open"|"retry_original"? As for `redirect`.
local RouteOptions = {}

---Dial something else and leave the ClientHello as it is. For `sni`.
---@param to string|moonfence.RouteOptions `host:port`, or a table with `to`.
---@return moonfence.Verdict
function route(to) end

---@class moonfence.TerminateOptions: moonfence.VerdictOptions
---@field on_pinned "deny"|"passthrough"? What happens to a program that does not accept the certificate made for it, because it pins its server's or has a store of its own. `deny` (the default): its connections fail. `passthrough`: once it has shown that, connections to that name are let through unseen, until the session ends. Any program can pretend to.
local TerminateOptions = {}

---Let it happen, and look into its TLS: with the client under a certificate that moonfence makes, with the server under the
---server's own, which must be good for the name. Requests inside are judged as those in the clear are, and one whose host is
---not the connection's server name passes only where a policy allows that host there. For `connect` and `sni`: of `connect`
---it holds for TLS that begins the connection, unless `sni` answers something else. An exemption is an `allow()` before it:
---
---    if s:under(banks) and s:matches_dns() then return allow() end
---    return terminate()
---
---QUIC is refused, so that its clients come again over TCP. What is no TLS passes as with `allow()`.
---@param options string|moonfence.TerminateOptions|nil A reason, or a table.
---@return moonfence.Verdict
function terminate(options) end

---@class moonfence.AskOptions: moonfence.VerdictOptions
---@field timeout string? How long an answer is waited for: "30s", "5m"; five minutes by default, a day at most. Then it is refused.
---@field remember "allowed"|"never"? Whether the answer may be remembered for the session or for a time; `allowed`.
local AskOptions = {}

---Hold it until a person answers (docs/approvals.md); where nobody can be asked it is refused. Carried by every kind.
---@param options string|moonfence.AskOptions|nil A reason, or a table.
---@return moonfence.Verdict
function ask(options) end

---Do it, but keep what would be lost in the trash: of a `delete` the file, of a `write` what it held before it is written over. For `file`.
---@param options string|moonfence.SoftDeleteOptions|nil A reason, or a table.
---@return moonfence.Verdict
function soft_delete(options) end

---Act on another path. For `file`.
---@param options string|moonfence.RedirectPathOptions The path, or a table with `target`.
---@return moonfence.Verdict
function redirect_path(options) end

---Carry out a verdict, and report it as audited.
---@param verdict moonfence.Verdict
---@return moonfence.Verdict
function audit(verdict) end
