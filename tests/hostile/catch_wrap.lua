-- The limit raised inside wrap inside pcall.
-- load: ok
-- call: steps
return function() while true do pcall(coroutine.wrap(function() while true do end end)) end end
