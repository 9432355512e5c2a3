-- SPDX-License-Identifier: Apache-2.0
-- policy.lua - the benchmark's policy: 30 declarative rules and a hook for every kind, as an operator would write them
local trackers = domains { "tracker.example", "ads.example", "telemetry.example", "metrics.example" }
local models = domains { "api.openai.example", "api.anthropic.example", "generativelanguage.example" }
local code = domains { "github.example", "gitlab.example", "codeberg.example" }
local lan = networks { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8" }
local metadata = networks { "169.254.169.254/32", "fd00:ec2::254/128" }

return {
  name = "bench",

  dns_redirects = {
    { name = "npm", match = "registry.npm.example", resolve_to = "10.0.0.7", visibility = "silent" },
    { name = "pypi", match = "pypi.example", resolve_to = "10.0.0.8" },
    { name = "crates", match = "*.crates.example", resolve_to = "10.0.0.9" },
    { name = "maven", regex = "(repo[0-9]*|central)[.]maven[.]example", resolve_to = "10.0.0.10" },
  },

  connect_redirects = {
    { name = "llm-a", match = "api.anthropic.example:443", redirect_to = "llm.corp:8443",
      tls = { mode = "rewrite_sni", sni = "llm.corp" } },
    { name = "llm-b", match = "api.openai.example:443", redirect_to = "llm.corp:8444",
      tls = { mode = "rewrite_sni", sni = "llm.corp" } },
    { name = "npm", match = "registry.npm.example:443", redirect_to = "npm.corp:443" },
    { name = "mail", match = "smtp.example:25", redirect_to = "mail.corp:25" },
    { name = "any-dev", regex = "dev[0-9]+[.]test[.]example:8080", redirect_to = "dev.corp:8080" },
  },

  network_rules = {
    { name = "metadata", cidrs = { "169.254.169.254/32" }, decision = "deny", message = "cloud metadata" },
    { name = "no-smtp", ports = { 25, 465, 587 }, domains = { "*.spam.example" }, decision = "deny" },
    { name = "no-telnet", ports = { 23 }, decision = "deny" },
    { name = "no-irc", ports = { 6667, 6697 }, decision = "deny" },
    { name = "git", domains = { "github.example", "**.github.example" }, ports = { 22, 443 }, decision = "allow" },
    { name = "gitlab", domains = { "gitlab.example" }, ports = { 22, 443 }, decision = "allow" },
    { name = "cdn", domains = { "*.cdn.example" }, ports = { 443 }, decision = "allow" },
    { name = "docs", domains = { "docs.example", "*.docs.example" }, ports = { 80, 443 }, decision = "allow" },
    { name = "ntp", domains = { "*.pool.ntp.example" }, ports = { 123 }, decision = "allow" },
    { name = "debian", domains = { "deb.example", "security.deb.example" }, ports = { 80, 443 }, decision = "allow" },
    { name = "partner", cidrs = { "203.0.113.0/24" }, ports = { 443 }, decision = "audit" },
  },

  file_rules = {
    { name = "secrets", paths = { "**/.env", "**/.env.*", "**/id_rsa", "**/.aws/credentials" }, decision = "deny" },
    { name = "git-hooks", paths = { "/workspace/**/.git/hooks/**" }, operations = { "write", "create" }, decision = "deny" },
    { name = "git-config", paths = { "/workspace/**/.git/config" }, operations = { "write" }, decision = "deny" },
    { name = "tmp", paths = { "/tmp/**" }, decision = "allow" },
    { name = "cache", paths = { "/home/*/.cache/**" }, decision = "allow" },
    { name = "etc", paths = { "/etc/**" }, operations = { "write", "create", "delete" }, decision = "deny" },
    { name = "usr", paths = { "/usr/**" }, operations = { "write", "create", "delete" }, decision = "deny" },
    { name = "proc", paths = { "/proc/*/mem" }, decision = "deny" },
    { name = "deletes", paths = { "/workspace/**" }, operations = { "delete" }, decision = "soft_delete" },
    { name = "workspace", paths = { "/workspace/**" }, operations = { "read", "write", "create" }, decision = "allow" },
  },

  dns = function(q)
    if q:under(trackers) then return deny { reason = "tracker", rcode = "NXDOMAIN" } end
    if q.type == "ANY" then return deny "ANY is not answered" end
    if q:under "internal.corp" then return resolve { "10.0.0.9", ttl = 30 } end
    if q:under(code) or q:under(models) then return allow() end
    if q:glob "*.example" or q:under "example" then return allow() end
    return deny "not on the list"
  end,

  connect = function(c)
    if c:to(metadata) then return deny "cloud metadata" end
    if c:to(lan) then return deny "no LAN from agents" end
    if not c.host then return deny "raw address" end
    if c.proto == "udp" and c.port == 443 then return deny "no QUIC" end
    if c:under(code) and c:port_in { 22, 443 } then return allow() end
    if c:under(models) then return redirect { to = "llm.corp:8443", tls = "rewrite_sni", sni = "llm.corp" } end
    if c:under "example" and c:port_in { 80, 443, "8000-8999" } then return allow() end
    return deny { reason = "not on the list", visibility = "warn" }
  end,

  sni = function(s)
    if s.ech then return deny "encrypted ClientHello hides the destination" end
    if s:is "navis.local" then return route "127.0.0.1:47621" end
    if not s:matches_dns() then return deny "SNI does not belong to this address" end
    if s:under(models) then return redirect { to = "llm.corp:8443", tls = "rewrite_sni", sni = "llm.corp" } end
    return allow()
  end,

  file = function(f)
    if f.op == "delete" and f:under "/home" then return soft_delete { hash = true } end
    if f:under "/home" and f.op ~= "write" then return allow() end
    if f:glob "/var/log/**" then return deny { reason = "logs are not for agents", errno = "EPERM" } end
  end,
}
