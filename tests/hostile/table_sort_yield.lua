-- A comparison function that yields.
-- load: ok
-- call: policy
return function()
  local co = coroutine.wrap(function() table.sort({ 2, 1 }, coroutine.yield) end)
  co()
end
