-- The limit swallowed by resume.
-- load: ok
-- call: steps
return function() while true do coroutine.resume(coroutine.create(function() while true do end end)) end end
