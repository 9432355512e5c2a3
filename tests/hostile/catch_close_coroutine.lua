-- __close that runs when a coroutine is closed.
-- load: ok
-- call: steps
return function()
  local mt = {}
  local guard = setmetatable({}, mt)
  mt.__close = function() while true do end end
  local co = coroutine.create(function() for _ in function() coroutine.yield() return 1 end, nil, nil, guard do end end)
  coroutine.resume(co)
  coroutine.close(co)
  return "survived"
end
