-- Stack overflow while the stack overflow is being handled.
-- load: ok
-- call: steps|time|memory|policy
return function()
  local function loop() local ok, e = pcall(loop) loop() return ok, e end
  return coroutine.wrap(function() return xpcall(loop, loop) end)()
end
