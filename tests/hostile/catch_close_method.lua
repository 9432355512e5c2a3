-- __close put into a metatable after it was set, run while the limit unwinds.
-- load: ok
-- call: steps
return function()
  local mt = {}
  local guard = setmetatable({}, mt)
  mt.__close = function() while true do end end
  while true do
    pcall(function() for _ in function() return 1 end, nil, nil, guard do end end)
  end
end
