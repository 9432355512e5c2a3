-- SPDX-License-Identifier: Apache-2.0
-- moonfence.files - paths and operations by what they mean
--
--   local files = require "moonfence.files"
--   if files.secret(f) and files.reads[f.op] then return deny "secrets" end

local M = {}

-- Operations that only look, and those after which something is gone.
M.reads = { open = true, read = true, stat = true, list = true, readlink = true, access = true }
M.removes = { delete = true, rmdir = true }

-- Files that hold credentials, wherever they lie.
local secret_globs = {
  "**/.env{,.*}",
  "**/.{ssh,aws,azure,gnupg,kube,password-store}/**",
  "**/.{netrc,pgpass,pypirc,git-credentials}",
  "**/.config/{gh,gcloud,op,rclone}/**",
  "**/.docker/config.json",
  "**/id_{rsa,dsa,ecdsa,ed25519}{,_sk}",
  "**/*.{pem,p12,pfx,kdbx}",
  "/etc/{shadow,gshadow,sudoers,krb5.keytab}{,-}",
  "/etc/ssh/ssh_host_*_key",
  "/proc/*/{environ,mem}",
}

---Whether a file request is about a file that holds credentials.
---@param f moonfence.FileRequest
---@return boolean
function M.secret(f)
  for _, glob in ipairs(secret_globs) do
    if f:glob(glob) then return true end
  end
  return false
end

---Whether nothing is changed: the operation only looks, and an `open` asks for reading alone.
---@param f moonfence.FileRequest
---@return boolean
function M.only_reads(f)
  if not M.reads[f.op] then return false end
  for _, flag in ipairs(f.flags or {}) do
    if flag ~= "read" then return false end
  end
  return true
end

---Whether a path is a directory or lies in it.
---@param path string
---@param dir string
---@return boolean
function M.inside(path, dir)
  return path == dir or path:sub(1, #dir + 1) == dir .. "/"
end

---Whether all that a request changes lies in a directory: both paths of a `rename` or `link`. Where a `symlink` points
---does not matter, because what is reached through it is judged by its own path.
---@param f moonfence.FileRequest
---@param dir string
---@return boolean
function M.within(f, dir)
  if not f:under(dir) then return false end
  return f.op == "symlink" or not f.target or M.inside(f.target, dir)
end

return M
