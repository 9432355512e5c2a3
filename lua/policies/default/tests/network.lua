-- SPDX-License-Identifier: Apache-2.0
-- The default policy on names, addresses and TLS. Addresses are of the hosts' public ranges; nothing is dialled.

local git = { host = "github.com", ip = "140.82.121.4" }
local model = { host = "api.anthropic.com", ip = "160.79.104.10" }

-- A question's fields: those of a place, with more.
local function at(place, more)
  local fields = { host = place.host, ip = place.ip, port = 443, proto = "tcp" }
  for key, value in pairs(more or {}) do fields[key] = value end
  return fields
end

test("git hosts and model interfaces resolve", function(t)
  for _, name in ipairs { "github.com", "codeload.github.com", "raw.githubusercontent.com", "gitlab.com",
                          "api.anthropic.com", "api.openai.com", "openrouter.ai" } do
    t:dns { name = name, type = "A" }:is_allowed()
    t:dns { name = name, type = "AAAA" }:is_allowed()
  end
end)

test("spelling does not matter", function(t)
  t:dns { name = "GitHub.COM.", type = "A" }:is_allowed()
end)

test("names that only look like allowed ones do not resolve", function(t)
  for _, name in ipairs { "github.com.evil.example", "evilgithub.com", "g\u{131}thub.com", "api.anthropic.com.example",
                          "anthropic.com", "console.anthropic.com", "com" } do
    t:dns { name = name, type = "A" }:is_denied "not on the list":matches { rcode = "NXDOMAIN" }
  end
end)

test("data in the labels of a name goes nowhere", function(t)
  t:dns { name = "c2VjcmV0.tunnel.example", type = "TXT" }:is_denied()
  t:dns { name = "c2VjcmV0.tunnel.example", type = "A" }:is_denied()
end)

test("records that hide the server name or invite to QUIC are answered as not there", function(t)
  for _, type in ipairs { "HTTPS", "SVCB", "TXT", "NULL", "ANY", "TYPE65280" } do
    t:dns { name = "github.com", type = type }:is_denied():matches { rcode = "NOERROR" }
  end
end)

test("resolvers beside the session's own are out of reach by name, port and address", function(t)
  t:dns { name = "dns.google", type = "A", session = { labels = { allow = "dns.google" } } }:is_denied "resolver"
  t:dns { name = "mozilla.cloudflare-dns.com", type = "A" }:is_denied "resolver"
  t:connect(at(git, { port = 853 })):is_denied "DNS over TLS"
  t:connect(at(git, { port = 853, proto = "udp" })):is_denied "DNS over TLS"
  t:connect { ip = "8.8.8.8", port = 443, proto = "tcp" }:is_denied "no name"
  t:connect { ip = "8.8.8.8", port = 53, proto = "udp" }:is_denied "no name"
  t:sni { sni = "dns.google", host = "github.com", ip = git.ip, port = 443 }:is_denied "not on the list"
end)

test("connections to allowed hosts are let through, on the ports of git and the web", function(t)
  for _, port in ipairs { 22, 80, 443, 9418 } do t:connect(at(git, { port = port })):is_allowed() end
  t:connect(at(model)):is_allowed()
  t:connect(at(model, { ip = "2607:6bc0::10" })):is_allowed()
  for _, port in ipairs { 25, 3306, 6667, 8443 } do t:connect(at(git, { port = port })):is_denied "port" end
end)

test("an address without a name is refused", function(t)
  t:connect { ip = "140.82.121.4", port = 443, proto = "tcp" }:is_denied "no name"
  t:connect { ip = "2606:50c0:8000::153", port = 443, proto = "tcp" }:is_denied "no name"
end)

test("a name that is not allowed does not become so by its address", function(t)
  t:connect(at(git, { host = "pages.example" })):is_denied "not on the list"
end)

test("cloud metadata and private networks are out of reach, whatever name led there", function(t)
  for _, ip in ipairs { "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "10.1.2.3", "172.16.0.1", "192.168.1.1",
                        "127.0.0.1", "::1", "fe80::1", "fc00::1", "0.0.0.0", "100.64.0.1", "::ffff:10.0.0.1",
                        "64:ff9b::a9fe:a9fe", "2002:a00:1::1", "224.0.0.251", "255.255.255.255" } do
    t:connect { ip = ip, port = 80, proto = "tcp" }:is_denied "private"
    t:connect { ip = ip, port = 443, proto = "tcp", host = "github.com" }:is_denied "private"
    t:connect { ip = ip, port = 443, proto = "tcp", host = "x.example", session = { labels = { allow = "x.example" } } }
      :is_denied "private"
  end
end)

test("QUIC is refused, so that clients fall back to TCP", function(t)
  t:connect(at(git, { proto = "udp" })):is_denied "QUIC"
end)

test("the server name in a ClientHello must be allowed and belong to the address", function(t)
  t:sni(at(git, { sni = "github.com" })):is_allowed()
  t:sni(at(git, { sni = "github.com", ech = false })):is_allowed() -- GREASE
  t:sni(at(git, { sni = "evil.example" })):is_denied "not on the list"
  t:sni(at(git, { sni = "api.openai.com" })):is_denied "does not belong"
  t:sni(at(git)):is_denied "no server name"
  t:sni(at(git, { sni = "github.com", ech = true })):is_denied "encrypted"
end)

test("a session's label allows more names, and nothing else", function(t)
  local session = { labels = { allow = "mirror.corp.example, docs.example" } }
  t:dns { name = "mirror.corp.example", type = "A", session = session }:is_allowed()
  t:dns { name = "en.docs.example", type = "A", session = session }:is_allowed()
  t:dns { name = "corp.example", type = "A", session = session }:is_denied()
  t:dns { name = "mirror.corp.example", type = "A" }:is_denied()
  local place = { host = "docs.example", ip = "93.184.215.14" }
  t:connect(at(place, { session = session })):is_allowed()
  t:sni(at(place, { sni = "docs.example", session = session })):is_allowed()
end)
