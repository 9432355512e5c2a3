-- SPDX-License-Identifier: Apache-2.0
-- The default policy: what an AI agent's session may do. Read it in a minute; everything not allowed here is refused.
--
-- To let a session reach more, you need not edit this file:
--   * for one session:   moonfence run --label allow=mirror.corp.example,docs.example -- COMMAND
--   * for all sessions:  data/registries.txt (package registries) and data/allow.txt (anything else), a name a line
--   * with conditions:   a policy of your own before this one: --policy my.lua --policy default

local hosts = require "moonfence.hosts"
local files = require "moonfence.files"
local labels = require "moonfence.labels"

local registries = domains { file = "data/registries.txt" }
local operator = domains { file = "data/allow.txt" }

local function allowed(x)
  return x:under(hosts.git) or x:under(hosts.models) or x:under(registries) or x:under(operator)
    or labels.under(x, "allow")
end

-- What allowed hosts serve: git over ssh, the web, git's own protocol.
local ports = { 22, 80, 443, 9418 }
local types = { A = true, AAAA = true, CNAME = true, SRV = true, SOA = true, NS = true }

-- Names: only such as may be reached are asked outside, so that a name cannot carry data to a stranger's server.
local function dns(q)
  if q:under(hosts.resolvers) then return deny { reason = "a resolver beside the session's own", rcode = "NXDOMAIN" } end
  if not allowed(q) then return deny { reason = "name is not on the list", rcode = "NXDOMAIN" } end
  -- HTTPS and SVCB records hold keys that hide the server name (ECH), and invite to QUIC: "there are none".
  if not types[q.type] then return deny { reason = "record type is not needed", rcode = "NOERROR" } end
  return allow()
end

-- Addresses: asked after resolution, so a name that points into the private network does not help.
local function connect(c)
  if c:to_private() then return deny "private networks and cloud metadata are out of reach" end
  if c.port == 853 then return deny "DNS over TLS or QUIC goes around the session's DNS" end
  if not c.host then return deny "no name of this session belongs to this address" end
  if not allowed(c) then return deny "host is not on the list" end
  -- QUIC would work, but clients fall back to TCP at once, where the server name is checked on every connection.
  if c.proto ~= "tcp" then return deny "only TCP; QUIC clients fall back to it" end
  if not c:port_in(ports) then return deny "port is not one of git's or the web's" end
  return allow()
end

-- TLS: the server name in the hello must be allowed as well, and belong to the address that it goes to.
local function sni(s)
  if s.ech then return deny "encrypted ClientHello hides the destination" end -- GREASE is not one
  if not s.sni then return deny "no server name in the ClientHello" end
  if not allowed(s) then return deny "server name is not on the list" end
  if not s:matches_dns() then return deny "server name does not belong to this address" end
  return allow()
end

-- Files: the workspace is free, and nothing deleted in it is lost; elsewhere only reading, and no credentials.
local function file(f)
  if files.within(f, f.session.labels.workspace or "/workspace") then
    if files.removes[f.op] then return soft_delete { hash = true } end
    return allow()
  end
  if files.secret(f) then return deny "credentials" end
  if files.within(f, "/tmp") or files.only_reads(f) then return allow() end
  return deny "outside the workspace only reading"
end

return { name = "default", dns = dns, connect = connect, sni = sni, file = file }
