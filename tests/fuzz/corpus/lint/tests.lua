-- SPDX-License-Identifier: Apache-2.0
-- The default policy on files.

test("the workspace is free, and deletes there are softened", function(t)
  for _, op in ipairs { "open", "read", "write", "create", "mkdir", "truncate", "chmod", "list", "stat" } do
    t:file { op = op, path = "/workspace/src/main.c" }:is_allowed()
  end
  t:file { op = "delete", path = "/workspace/src/main.c" }:is_soft_deleted():matches { hash = true }
  t:file { op = "rmdir", path = "/workspace/src" }:is_soft_deleted()
  t:file { op = "rename", path = "/workspace/a", target = "/workspace/b" }:is_allowed()
  t:file { op = "read", path = "/workspace/.env" }:is_allowed()
end)

test("the workspace can be another directory", function(t)
  local session = { labels = { workspace = "/home/dev/project" } }
  t:file { op = "write", path = "/home/dev/project/a", session = session }:is_allowed()
  t:file { op = "delete", path = "/home/dev/project/a", session = session }:is_soft_deleted()
  t:file { op = "write", path = "/workspace/a", session = session }:is_denied()
end)

test("what only begins like the workspace is not in it", function(t)
  t:file { op = "write", path = "/workspace2/a" }:is_denied()
  t:file { op = "write", path = "/workspace/../etc/passwd" }:is_denied()
end)

test("nothing is moved or linked across the workspace's edge", function(t)
  t:file { op = "rename", path = "/workspace/a", target = "/home/dev/a" }:is_denied()
  t:file { op = "rename", path = "/home/dev/a", target = "/workspace/a" }:is_denied()
  t:file { op = "link", path = "/workspace/a", target = "/workspace2/a" }:is_denied()
  t:file { op = "link", path = "/home/dev/.ssh/id_ed25519", target = "/workspace/key" }:is_denied()
  t:file { op = "symlink", path = "/workspace/link", target = "/etc/passwd" }:is_allowed()
end)

test("elsewhere files can be read and not changed", function(t)
  for _, op in ipairs { "open", "read", "stat", "list", "readlink" } do
    t:file { op = op, path = "/usr/include/stdio.h" }:is_allowed()
  end
  t:file { op = "open", path = "/usr/include/stdio.h", flags = { "read" } }:is_allowed()
  t:file { op = "open", path = "/usr/include/stdio.h", flags = { "read", "write" } }:is_denied()
  for _, op in ipairs { "write", "create", "delete", "mkdir", "chmod", "truncate", "setxattr" } do
    t:file { op = op, path = "/usr/include/stdio.h" }:is_denied "only reading"
  end
end)

test("credentials outside of the workspace cannot even be read", function(t)
  for _, path in ipairs { "/home/dev/.ssh/id_ed25519", "/home/dev/.ssh/config", "/root/.aws/credentials",
                          "/home/dev/.netrc", "/home/dev/app/.env", "/home/dev/app/.env.local", "/home/dev/id_rsa",
                          "/home/dev/.config/gh/hosts.yml", "/home/dev/.docker/config.json", "/home/dev/.kube/config",
                          "/etc/shadow", "/etc/ssh/ssh_host_ed25519_key", "/etc/tls/key.pem", "/proc/1/environ",
                          "/tmp/copy/.env", "/home/dev/.git-credentials" } do
    for _, op in ipairs { "open", "read", "stat" } do t:file { op = op, path = path }:is_denied "credentials" end
  end
  t:file { op = "read", path = "/home/dev/environment.md" }:is_allowed()
  t:file { op = "read", path = "/home/dev/.envrc.d/readme" }:is_allowed()
end)

test("temporary files are free", function(t)
  for _, op in ipairs { "create", "write", "read", "delete" } do t:file { op = op, path = "/tmp/build.1" }:is_allowed() end
  t:file { op = "rename", path = "/tmp/a", target = "/tmp/b" }:is_allowed()
  t:file { op = "rename", path = "/tmp/a", target = "/etc/b" }:is_denied()
end)
