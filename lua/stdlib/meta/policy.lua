-- SPDX-License-Identifier: Apache-2.0
---@meta
-- The policy: what a policy file returns

---A policy file returns one such table. All keys but `name` are optional; a key that is not here is an error.
---Declarative rules are asked first, in the order in which they stand; a hook is asked when no rule matched.
---@class moonfence.Policy
---@field name string The policy's name, as it stands in events.
---@field description string? Free text.
---@field network_rules moonfence.NetworkRule[]? Rules about connections and names.
---@field dns_redirects moonfence.DnsRedirect[]? Names that are answered with an address of your own.
---@field connect_redirects moonfence.ConnectRedirect[]? Connections that go elsewhere.
---@field file_rules moonfence.FileRule[]? Rules about file operations.
---@field dns_default "resolve_known"|"allow"|"deny"? Names that no network rule decided; docs/rules.md.
---@field network_default "none"|"deny"? What names and connections get that neither rules nor hooks decided; `none` leaves them to the next policy.
---@field file_default "none"|"deny"|"allow_reads"? The same of file operations; `allow_reads` allows those that only look.
---@field compat "none"|"gobwas"? How globs in rules are read; docs/patterns.md.
---@field redirect_target_policy "check"|"trusted"? Whether `network_rules` must not deny what redirects dial; `check`.
---@field approve_without_channel "deny"|"allow"? What a rule's `approve` is where nobody can be asked; `deny`.
---@field redirect_unsupported "deny"|"allow"? What a rule's redirect is where the traffic cannot be redirected (QUIC); `deny`.
---@field redirect_other_types "empty"|"forward"? What a name of `dns_redirects` has of types that are no address (TXT, MX, CNAME): nothing, or what the resolvers say; `empty`.
---@field dns fun(q: moonfence.DnsRequest): moonfence.Verdict? Asked before a name is resolved.
---@field dns_answer fun(q: moonfence.DnsAnswerRequest, a: moonfence.DnsAnswer): moonfence.Verdict? Asked before an answer is told.
---@field connect fun(c: moonfence.ConnectRequest): moonfence.Verdict? Asked before a connection is dialled.
---@field sni fun(s: moonfence.SniRequest): moonfence.Verdict? Asked once a ClientHello was read.
---@field file fun(f: moonfence.FileRequest): moonfence.Verdict? Asked before a file operation.
local Policy = {}

---Selectors are ANDed, the entries of one are ORed, an absent one matches everything.
---@class moonfence.NetworkRule
---@field name string? Name in events.
---@field description string? Free text.
---@field domains string[]? Globs over the host name.
---@field ports (integer|string)[]? Ports, ranges as text.
---@field cidrs string[]? Networks of the address that is dialled.
---@field timeout string? How long an approval is waited for: "5s", "1h30m".
---@field decision "allow"|"deny"|"approve"|"audit" What happens.
---@field message string? For the person at the terminal.
local NetworkRule = {}

---@class moonfence.DnsRedirect
---@field name string? Name in events.
---@field match string? Glob over the whole name; one of `match`, `regex`, `search`.
---@field regex string? Regular expression over the whole name.
---@field search string? Regular expression found anywhere in the name, as agentsh's `match`.
---@field resolve_to string? The address to answer with; this or `resolve_to6`.
---@field resolve_to6 string? The IPv6 address to answer with beside it.
---@field ttl integer? Seconds; 60.
---@field visibility "audit_only"|"silent"|"warn"? As for verdicts.
---@field on_failure "fail_closed"|"fail_open"|"retry_original"? As for `redirect`.
local DnsRedirect = {}

---@class moonfence.ConnectRedirect
---@field name string? Name in events.
---@field match string? Glob over the whole `name:port`; one of `match`, `regex`, `search`.
---@field regex string? Regular expression over the whole `name:port`.
---@field search string? Regular expression found anywhere in `name:port`, as agentsh's `match`.
---@field redirect_to string? `host:port` to dial instead.
---@field redirect_to_unix string? Unix socket to dial instead; one of the two.
---@field redirect_target_policy "check"|"trusted"? As for the policy, for this rule.
---@field tls { mode: "passthrough"|"rewrite_sni", sni: string? }? What happens to the server name.
---@field visibility "audit_only"|"silent"|"warn"? As for verdicts.
---@field message string? For the person at the terminal.
---@field on_failure "fail_closed"|"fail_open"|"retry_original"? As for `redirect`.
local ConnectRedirect = {}

---@class moonfence.FileRule
---@field name string? Name in events.
---@field description string? Free text.
---@field paths string[] Globs over the absolute path.
---@field operations string[]? Operations, `*` for all; absent means all.
---@field decision "allow"|"deny"|"approve"|"audit"|"soft_delete"|"redirect" What happens.
---@field message string? For the person at the terminal.
---@field redirect_to string? Directory, with `decision = "redirect"`.
---@field preserve_tree boolean? Keep the source path below `redirect_to`.
local FileRule = {}
