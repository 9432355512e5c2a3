-- SPDX-License-Identifier: Apache-2.0
-- The standard library's modules, through a policy whose reasons say what they answer.

local function says(answer, text)
  return answer:is_denied("^" .. text:gsub("%-", "%%-") .. "$")
end

test("networks have the addresses of their names, in both families", function(t)
  local expected = {
    ["169.254.169.254"] = "metadata link_local any", ["fd00:ec2::254"] = "metadata private any",
    ["169.254.170.2"] = "metadata link_local any", ["168.63.129.16"] = "metadata any",
    ["100.100.100.200"] = "metadata shared any", ["169.254.1.1"] = "link_local any", ["fe80::1"] = "link_local any",
    ["10.0.0.1"] = "private any", ["172.31.255.255"] = "private any", ["172.32.0.0"] = "any",
    ["192.168.0.1"] = "private any", ["fdff::1"] = "private any", ["127.8.8.8"] = "loopback any",
    ["::1"] = "loopback any", ["100.127.255.255"] = "shared any", ["100.128.0.0"] = "any",
    ["224.0.0.1"] = "multicast any", ["ff02::fb"] = "multicast any", ["203.0.113.9"] = "documentation any",
    ["2001:db8::1"] = "documentation any", ["198.19.0.1"] = "benchmarking any", ["140.82.121.4"] = "any",
    ["2606:50c0:8000::153"] = "any", ["::ffff:10.0.0.1"] = "private any",
  }
  for ip, names in pairs(expected) do says(t:connect { ip = ip, port = 443 }, names) end
end)

test("a set says no of an address that is not known", function(t)
  says(t:connect { port = 443 }, "none")
end)

test("hosts are known by what they are for", function(t)
  says(t:dns { name = "github.com" }, "git")
  says(t:dns { name = "a.b.gitlab.com" }, "git")
  says(t:dns { name = "notgithub.com" }, "none")
  says(t:dns { name = "api.openai.com" }, "models")
  says(t:dns { name = "openai.com" }, "none")
  says(t:dns { name = "chrome.cloudflare-dns.com" }, "resolvers")
end)

test("a label lists names, separated by commas or spaces", function(t)
  local session = { labels = { allow = "a.example,b.example  c.example, " } }
  for _, name in ipairs { "a.example", "x.b.example", "c.example" } do
    says(t:dns { name = name, session = session }, "label")
  end
  says(t:dns { name = "d.example", session = session }, "none")
  says(t:dns { name = "a.example", session = { labels = { other = "a.example" } } }, "none")
  says(t:dns { name = "a.example", session = { labels = { allow = "" } } }, "none")
end)

test("files of credentials are known wherever they lie", function(t)
  for _, path in ipairs { "/.env", "/a/.env.production", "/h/.ssh/known_hosts", "/h/.gnupg/a/b", "/a/b/server.pem",
                          "/h/id_ecdsa_sk", "/etc/shadow-", "/proc/42/mem", "/h/.pgpass" } do
    says(t:file { op = "write", path = path }, "secret")
  end
  for _, path in ipairs { "/env", "/a/.environment", "/h/ssh/config", "/etc/shadows", "/proc/meminfo", "/a/pem" } do
    says(t:file { op = "write", path = path }, "none")
  end
end)

test("looking and removing are told apart", function(t)
  says(t:file { op = "read", path = "/a" }, "only_reads")
  says(t:file { op = "open", path = "/a", flags = { "read" } }, "only_reads")
  says(t:file { op = "open", path = "/a", flags = { "read", "append" } }, "none")
  says(t:file { op = "rmdir", path = "/a" }, "removes")
end)

test("a directory holds what lies in it, both ends of a rename included", function(t)
  says(t:file { op = "write", path = "/srv/data" }, "within")
  says(t:file { op = "write", path = "/srv/data/a/b" }, "within")
  says(t:file { op = "write", path = "/srv/database" }, "none")
  says(t:file { op = "rename", path = "/srv/data/a", target = "/srv/data/b" }, "within")
  says(t:file { op = "rename", path = "/srv/data/a", target = "/srv/database" }, "none")
  says(t:file { op = "symlink", path = "/srv/data/a", target = "../../etc" }, "within")
end)

test("hooks are asked in order, under their conditions", function(t)
  says(t:sni { sni = "github.com", ip = "2001:db8::1", port = 1 }, "when")
  says(t:sni { sni = "github.com", ip = "192.0.2.1", port = 1 }, "unless")
  says(t:sni { sni = "github.com", ip = "192.0.2.1", port = 443 }, "under")
  says(t:sni { sni = "a.more.example", ip = "192.0.2.1", port = 443 }, "under")
  says(t:sni { sni = "last.example", ip = "192.0.2.1", port = 443 }, "last")
  t:sni { sni = "other.example", ip = "192.0.2.1", port = 443 }:is_default()
end)
