-- Io, os, debug and friends.
-- load: ok
-- call: ok
-- result: 0
return function()
  local n = 0
  for _, name in ipairs { "io", "os", "debug", "package", "load", "loadstring", "loadfile", "dofile", "collectgarbage", "newproxy",
    "module", "setfenv", "getfenv", "rawsetenv", "jit", "ffi", "bit32" } do
    if _G[name] ~= nil or _ENV[name] ~= nil then n = n + 1 end
  end
  return n
end
