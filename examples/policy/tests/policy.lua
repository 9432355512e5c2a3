-- SPDX-License-Identifier: Apache-2.0
test("packages come from the mirror and nothing else is reached", function(t)
  t:dns { name = "packages.example", type = "A" } :resolves_to "10.0.0.7"
  t:connect { host = "packages.example", ip = "10.0.0.7", port = 443 } :is_allowed()
  t:connect { ip = "169.254.169.254", port = 80 } :is_denied() :rule "no-metadata"
  t:connect { host = "other.example", ip = "203.0.113.9", port = 443 } :is_denied "mirror"
end)

test("what is deleted in the workspace is kept", function(t)
  t:file { op = "delete", path = "/workspace/a" } :is_soft_deleted()
end)
