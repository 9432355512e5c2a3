-- SPDX-License-Identifier: Apache-2.0
---@meta
-- Requests: what a hook is asked about

---Every request, whatever its kind.
---
---Fields are read-only and lazy: what costs something to find out (a process's name, all names of an address) is found
---out only when a policy reads it. A field that is not known for this request is `nil`; a field that no request of this
---kind has is an error that names the fields there are. Each read is part of the decision's key: read only what decides.
---@class moonfence.Request
---@field kind "dns"|"connect"|"sni"|"file"|"dns_answer" Which hook is asked.
---@field source "session"|"resolver"|"gateway"|"nic"|"replay"|"api" Where the request comes from.
---@field session moonfence.Session The session that it belongs to.
---@field process moonfence.Process The process that made it.
local Request = {}

---@class moonfence.Session
---@field id string? The session's name (`moonfence run --session NAME`).
---@field labels table<string, string> Labels of the session (`moonfence run --label key=value`); `nil` for a key that was not given.
local Session = {}

---@class moonfence.Process
---@field pid integer? Process id, as the session's host sees it.
---@field parent integer? Process id of the parent.
---@field name string? Short name, `curl`.
---@field exe string? Absolute path of the program.
---@field args string[]? Arguments, the program's name first.
---@field user string? Name of the user.
local Process = {}

---Whether the request's name (`name` of dns, `host` of connect, `sni` of sni) or path (file) is exactly this one. Every
---predicate is false when the field that it looks at is not known.
---@param name string|string[] A host name in any spelling (case, trailing dot, Unicode), or an absolute path; or several.
---@return boolean
function Request:is(name) end

---Whether the request's name or path is this one or lies below it, at label (`.`) or path (`/`) boundaries:
---`x:under "example.com"` holds for `example.com` and `a.example.com`, not for `badexample.com`.
---@param what string|string[]|moonfence.Domains A domain, several, or a set made by `domains`; of file requests directories.
---@return boolean
function Request:under(what) end

---Whether the request's name or path matches a glob as a whole. `*` stays within a label or path component, `**` does
---not; `?` is one character; `[a-z]`, `[!a-z]`, `{one,two}`; `\` takes the next character as it is.
---@param pattern string
---@return boolean
function Request:glob(pattern) end

---Whether a regular expression (PCRE2 syntax) is found in the request's name or path; `^` and `$` anchor it. Names are
---compared without case. Matching has a step limit; a policy whose pattern reaches it fails, it does not "not match".
---@param pattern string
---@return boolean
function Request:regex(pattern) end

---A question to the domain name system: the hook `dns` is asked before anything is sent to a resolver.
---@class moonfence.DnsRequest: moonfence.Request
---@field name string The name asked for: lower case, A-labels, no trailing dot.
---@field type string? `A`, `AAAA`, `HTTPS`, … or `TYPE65280` for a type without a name.
---@field class string? `IN`.
---@field transport "udp"|"tcp"|"doh"? How the question came.
---@field client string? Address that asked.
---@field domain string? The registered domain that `name` lies in, by the Public Suffix List: `example.co.uk`; `nil` for a public suffix.
---@field entropy integer? How random the part of `name` before `domain` looks: hundredths of a bit a character; words have 250 to 330, base32 up to 500.
local DnsRequest = {}

---What a resolver said: the hook `dns_answer(q, a)` is asked when `dns` (or `connect`, for names that it knows) has let the
---question pass, and before anything of the answer is told or tied to the name; also for answers that come from the cache.
---It can `allow` or `deny`. Where no policy decides, the answer is told. Whatever it says, a name that is reached through a
---denied alias is denied, and addresses that `connect` denies for the name are left out.
---@class moonfence.DnsAnswerRequest: moonfence.DnsRequest
---@field answer moonfence.DnsAnswer The second parameter of the hook.
local DnsAnswerRequest = {}

---@class moonfence.DnsAnswer
---@field rcode string? `NOERROR`, `NXDOMAIN`, ...
---@field ips string[]? Its addresses (the first 64), in canonical text.
---@field aliases string[]? Targets of the CNAME records, in order.
---@field private boolean? Whether an address of it is not globally reachable: a private network's, loopback, link-local, ...
local DnsAnswer = {}

---A connection, or the first datagram of a UDP flow or of pings: the hook `connect` is asked before anything is dialled.
---@class moonfence.ConnectRequest: moonfence.Request
---@field ip string? The address that will be dialled, in canonical text. Never a name: it was resolved before.
---@field port integer? Port that will be dialled; 0 for a ping.
---@field proto "tcp"|"udp"|"icmp"? Transport protocol; `icmp` is a ping of either family, of a virtual machine.
---@field family 4|6|nil Family of `ip`.
---@field host string? The name that this session most recently resolved to `ip`; `nil` for an address that no answer named.
---@field hosts string[]? All such names.
local ConnectRequest = {}

---Whether the address lies in a network.
---@param what string|string[]|moonfence.Networks An address, a network `"10.0.0.0/8"`, several, or a set made by `networks`.
---@return boolean
function ConnectRequest:to(what) end

---Whether the address is anything but globally reachable unicast: private, loopback, link-local (cloud metadata), shared,
---unique local, documentation, benchmarking, multicast, reserved; an IPv4 address inside NAT64, 6to4 or Teredo counts.
---@return boolean
function ConnectRequest:to_private() end

---Whether the port is one of these.
---@param ports integer|string|(integer|string)[]|moonfence.Ports Ports and ranges: `{80, 443, "8000-8999"}`, or a set made by `ports`.
---@return boolean
function ConnectRequest:port_in(ports) end

---A TLS ClientHello: the hook `sni` is asked after it was read and before a byte goes upstream. Has all fields and
---predicates of a connection; `is`, `under`, `glob` and `regex` are about `sni`. It is asked about the requests of a
---cleartext HTTP connection as well: their Host (or `:authority`) stands in `sni`, and `versions` is `nil`.
---@class moonfence.SniRequest: moonfence.ConnectRequest
---@field sni string? The server name that the client asks for; `nil` when it sent none.
---@field alpn string[]? Protocols offered: `h2`, `http/1.1`; `http/1.1` or `h2c` of a cleartext request.
---@field ech boolean? A real Encrypted ClientHello. GREASE (RFC 8701) is not one, where they can be told apart.
---@field versions string[]? `TLS1.2`, `TLS1.3`; `nil` without TLS.
---@field ja4 string? JA4 fingerprint of the hello.
---@field quic boolean? Whether the hello came in QUIC packets. A denial sends their client to TCP, at once.
local SniRequest = {}

---Whether this session's own answers tie the name `sni` to the address `ip`. A hello that names another host than the
---one whose address it goes to does not.
---@return boolean
function SniRequest:matches_dns() end

---An operation on a file or directory: the hook `file` is asked before it is carried out.
---@class moonfence.FileRequest: moonfence.Request
---@field op "open"|"read"|"write"|"create"|"delete"|"rename"|"mkdir"|"rmdir"|"truncate"|"chmod"|"chown"|"link"|"symlink"|"readlink"|"list"|"stat"|"setxattr"|string? What is to be done.
---@field path string Absolute path: `/`-separated, no `.`, no `..`.
---@field target string? The other path of `rename`, `link` and `symlink`.
---@field flags string[]? How a file is opened: `read`, `write`, `create`, `truncate`, `append`.
---@field uid integer? User id that asks.
---@field gid integer? Group id that asks.
---@field size integer? Bytes: of a write, of a truncation.
local FileRequest = {}
